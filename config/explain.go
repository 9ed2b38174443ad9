package config

import (
	"fmt"
	"strings"
)

// Entry is one key of the effective configuration.
type Entry struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	TOML   string `json:"-"` // Value as TOML
	Origin string `json:"origin"`
}

// Explain lists every key in file order, with its effective value and where
// that comes from: "default", "preset swoole", "recognised: …",
// "hotreload.toml:12", "HOTRELOAD_SERVER_KIND", "flag --kind", "command line".
// The preset's rules are the last entry, "preset.rules".
func (c *Config) Explain() []Entry {
	entries := make([]Entry, 0, len(table())+1)
	for _, o := range table() {
		entries = append(entries, Entry{o.Key, o.json(c), o.show(c), c.Origin(o.Key)})
	}
	return append(entries, Entry{"preset.rules", rulesJSON(c.Preset.Rules), showRules(c.Preset.Rules), "preset " + c.Preset.Kind})
}

// Origin says where the value of a key comes from; empty for an unknown key.
func (c *Config) Origin(key string) string {
	from := c.origins[key]
	if from == "recognised" {
		return "recognised: " + c.KindWhy
	}
	return from
}

// TOML renders the effective configuration as a hotreload.toml that, in the
// same directory, loads to the same configuration. A comment behind each value
// says where it comes from; what cannot be set stands in comments. [release] and
// [deploy], which mean something by being there, are left out where they are not.
func (c *Config) TOML() string {
	var b strings.Builder
	for _, section := range sections() {
		if c.lacks(section) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[%s]\n", section)
		for _, o := range table() {
			if name, ok := strings.CutPrefix(o.Key, section+"."); ok && o.Key != rulesKey && o.Key != stepsKey {
				c.writeOption(&b, name, o)
			}
		}
		switch section {
		case "reload":
			c.writeRules(&b)
		case "deploy":
			c.writeSteps(&b)
		}
	}
	return b.String()
}

// lacks reports whether a section is not there although it could be.
func (c *Config) lacks(section string) bool {
	return section == "release" && c.Release == nil || section == "deploy" && c.Deploy == nil
}

func (c *Config) writeOption(b *strings.Builder, name string, o option) {
	presetOnly := strings.HasPrefix(o.Key, "server.signals.") && c.Server.Kind != KindCustom
	absent := o.Key == "server.command" && len(c.Server.Command) == 0
	if presetOnly || absent {
		b.WriteString("# ")
	}
	fmt.Fprintf(b, "%s = %s  # %s\n", name, o.show(c), oneLine(c.Origin(o.Key)))
}

func (c *Config) writeRules(b *strings.Builder) {
	for _, r := range c.Reload.Rules {
		fmt.Fprintf(b, "[[%s]]  # %s\nmatch = %s\naction = %s\n", rulesKey, oneLine(r.Origin), quoteList(r.Match), quote(r.Action))
	}
	for _, r := range c.Preset.Rules {
		fmt.Fprintf(b, "# [[%s]]  # %s\n# match = %s\n# action = %s\n", rulesKey, oneLine(r.Origin), quoteList(r.Match), quote(r.Action))
	}
	fmt.Fprintf(b, "# everything else: %s\n", c.Preset.Action)
}

func (c *Config) writeSteps(b *strings.Builder) {
	for _, s := range c.deploy.Steps {
		prefix := ""
		if s.Origin == "default" {
			prefix = "# "
		}
		fmt.Fprintf(b, "%s[[%s]]  # %s\n", prefix, stepsKey, oneLine(s.Origin))
		for _, pair := range s.pairs() {
			b.WriteString(prefix + pair + "\n")
		}
	}
}

// oneLine keeps a comment from ending early: file names may contain anything.
func oneLine(s string) string {
	return escapeControls(strings.ToValidUTF8(s, "\ufffd"))
}
