package config

import (
	"fmt"
	"strings"
)

// MarkdownTable renders all keys, their defaults and an example each, for the
// README.
func MarkdownTable() string {
	var b strings.Builder
	b.WriteString("| key | type | default | example | meaning |\n|---|---|---|---|---|\n")
	for _, o := range Options() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | %s |\n", o.Key, cell(o.Type), o.defaultCell(), cell(o.Example), cell(o.Help))
	}
	return b.String()
}

func (o Option) defaultCell() string {
	switch {
	case o.Note == "":
		return "`" + cell(o.Default) + "`"
	case o.Default == `""` || o.Default == "[]" || o.Default == `["..."]`:
		return cell(o.Note)
	}
	return "`" + cell(o.Default) + "`; " + cell(o.Note)
}

// cell keeps a bar from ending the cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
