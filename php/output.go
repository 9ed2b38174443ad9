package php

import (
	"html"
	"regexp"
	"strconv"
	"strings"
)

var (
	// errorStart is the start of a message about code that does not compile, as php writes it to the terminal
	// ("Parse error: ...") or to its log ("[date] PHP Parse error:  ...").
	errorStart = regexp.MustCompile(`(?m)^(?:\[[^\]\n]*\] )?(?:PHP )?(?:Parse|Fatal|Recoverable fatal|Compile) error: +`)
	// errorEnd is the end of a message when php names the file in another way than it was given.
	errorEnd = regexp.MustCompile(`(?s)^(.*?) in \S[^\n]* on line (\d+)(?:\n|$)`)
	// markup is what html_errors adds.
	markup = regexp.MustCompile(`</?b>|<br ?/?>`)
	// exhausted are messages about php's own limits. They say nothing about the code.
	exhausted = regexp.MustCompile(`^(?:Allowed memory size of|Maximum execution time of|Out of memory|Maximum call stack size of)`)
)

// parseLint finds in the output of php -l why file does not compile. Warnings, deprecations and what extensions say
// while they start are passed over. ok is false when there is no such message.
func parseLint(output, file string) (problem Problem, ok bool) {
	output = strings.ReplaceAll(output, "\r\n", "\n")
	if strings.Contains(output, "error</b>:") {
		output = html.UnescapeString(markup.ReplaceAllString(output, ""))
	}
	for _, at := range errorStart.FindAllStringIndex(output, -1) {
		message, line, ok := cutMessage(output[at[1]:], file)
		if ok && !exhausted.MatchString(message) {
			return Problem{File: file, Line: line, Message: message}, true
		}
	}
	return Problem{}, false
}

// cutMessage cuts "MESSAGE in FILE on line N" from the start of text. A file's name may hold anything, also
// newlines and " on line 3"; so the name that php was given is tried first.
func cutMessage(text, file string) (message string, line int, ok bool) {
	if before, after, found := strings.Cut(text, " in "+file+" on line "); found && !errorStart.MatchString(before) {
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		if line, err := strconv.Atoi(digits); err == nil {
			return strings.TrimSpace(before), line, true
		}
	}
	m := errorEnd.FindStringSubmatch(text)
	if m == nil {
		return "", 0, false
	}
	line, err := strconv.Atoi(m[2])
	return strings.TrimSpace(m[1]), line, err == nil
}
