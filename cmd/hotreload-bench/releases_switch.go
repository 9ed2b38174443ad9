package main

// switching is one of the ways in which deploy tools make another release current.
type switching struct {
	name string
	// prepare has current lead through the links that are switched then, to the same release as before ($2). "": it leads there directly.
	prepare string
	// script makes the release $1 current.
	script string
}

// switchings are scripts for a shell that is where current lies, and releases/$1 and releases/$2.
var switchings = []switching{
	{"`mv -T`", "", `ln -s "releases/$1" next && mv -T next current`},
	{"`ln -nfs`", "", `ln -nfs "releases/$1" current`},
	{"`rm` and `ln -s`", "", `rm current; ln -s "releases/$1" current`},
	{
		"a parent symlink",
		`for r in "$1" "$2"; do mkdir -p "slots/$r" && ln -nfs "../../releases/$r" "slots/$r/app"; done; ln -nfs "slots/$2" slot; ln -nfs slot/app current`,
		`ln -s "slots/$1" next && mv -T next slot`,
	},
	{
		"a ConfigMap's `..data`", // as Kubernetes' AtomicWriter does it
		`for r in "$1" "$2"; do mkdir -p "volume/..$r" && ln -nfs "../../releases/$r" "volume/..$r/app"; done
		ln -nfs "..$2" volume/..data; ln -nfs ..data/app volume/app; ln -nfs volume/app current`,
		`ln -s "..$1" volume/..data_tmp && mv -T volume/..data_tmp volume/..data`,
	},
}

// make switches from one release to another.
func (s switching) make(d *deployed, from, to string) error {
	if s.prepare != "" {
		if err := d.shell(s.prepare, to, from); err != nil {
			return err
		}
	}
	return d.shell(s.script, to)
}
