package config

import (
	"strings"
)

// Template writes a commented hotreload.toml: every key with one explanation,
// set to the TOML text that values has for it, else commented out with its
// default. header becomes the comment at the top.
func Template(header string, values map[string]string) string {
	var b strings.Builder
	writeComment(&b, header)
	for _, section := range sections() {
		b.WriteString("\n[" + section + "]\n")
		for _, o := range table() {
			if name, ok := strings.CutPrefix(o.Key, section+"."); ok {
				o.writeTemplate(&b, name, values)
			}
		}
	}
	return b.String()
}

func (o Option) writeTemplate(b *strings.Builder, name string, values map[string]string) {
	writeComment(b, strings.ReplaceAll(o.Help, "`", ""))
	value, set := values[o.Key]
	switch {
	case set && o.Key == rulesKey:
		b.WriteString(value + "\n") // whole [[reload.rules]] tables
		return
	case set:
		b.WriteString(name + " = " + value + "\n")
		return
	case o.Key == rulesKey:
		b.WriteString("#[[" + rulesKey + "]]\n#match = [\"config/**\"]\n#action = \"restart\"\n")
		return
	}
	b.WriteString("#" + name + " = " + o.Default)
	if o.Note != "" {
		b.WriteString("  # " + strings.ReplaceAll(o.Note, "`", ""))
	}
	b.WriteByte('\n')
}

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
