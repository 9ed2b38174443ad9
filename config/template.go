package config

import (
	"strings"
)

// Template writes a commented hotreload.toml: every key with one explanation,
// set to the TOML text that values has for it, else commented out with its
// default. header becomes the comment at the top. [release] and [deploy] mean
// something by being there, so they are commented out unless a value is set.
func Template(header string, values map[string]string) string {
	var b strings.Builder
	writeComment(&b, header)
	for _, section := range sections() {
		b.WriteString("\n")
		if optional(section) && !sets(values, section) {
			b.WriteString("#")
		}
		b.WriteString("[" + section + "]\n")
		for _, o := range table() {
			if name, ok := strings.CutPrefix(o.Key, section+"."); ok {
				o.writeTemplate(&b, name, values)
			}
		}
	}
	return b.String()
}

// optional reports whether a section means something by being there.
func optional(section string) bool { return section == "release" || section == "deploy" }

func sets(values map[string]string, section string) bool {
	for key := range values {
		if strings.HasPrefix(key, section+".") {
			return true
		}
	}
	return false
}

func (o Option) writeTemplate(b *strings.Builder, name string, values map[string]string) {
	writeComment(b, strings.ReplaceAll(o.Help, "`", ""))
	value, set := values[o.Key]
	switch {
	case set && (o.Key == rulesKey || o.Key == stepsKey):
		b.WriteString(value + "\n") // whole [[reload.rules]] or [[deploy.steps]] tables
		return
	case set:
		b.WriteString(name + " = " + value + "\n")
		return
	case o.Key == rulesKey:
		b.WriteString("#[[" + rulesKey + "]]\n#match = [\"config/**\"]\n#action = \"restart\"\n")
		return
	case o.Key == stepsKey:
		b.WriteString(stepsTemplate)
		return
	}
	b.WriteString("#" + name + " = " + o.Default)
	if o.Note != "" {
		b.WriteString("  # " + strings.ReplaceAll(o.Note, "`", ""))
	}
	b.WriteByte('\n')
}

// stepsTemplate shows each kind of step.
const stepsTemplate = `#[[deploy.steps]]
#name = "release"
#from = "build"
#[[deploy.steps]]
#name = "shared"
#[[deploy.steps]]
#name = "migrate"
#run = "php artisan migrate --force"
#timeout = "10m"
#retries = 1
#[[deploy.steps]]
#name = "activate"
#[[deploy.steps]]
#name = "prune"
`

// writeComment wraps text at a hundred columns. A blank behind the # tells
// prose from keys that are commented out.
func writeComment(b *strings.Builder, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		width := 0
		for word := range strings.FieldsSeq(line) {
			switch {
			case width == 0:
				b.WriteString("# ")
			case width+1+len(word) > 98:
				b.WriteString("\n# ")
				width = 0
			default:
				b.WriteByte(' ')
				width++
			}
			b.WriteString(word)
			width += len(word)
		}
		b.WriteByte('\n')
	}
}
