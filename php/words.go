package php

import "strings"

// shellLine returns the line that a shell is to run: sh -c LINE, sh -ec LINE.
func shellLine(args []string) (string, bool) {
	for i, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			return "", false
		}
		if !strings.HasPrefix(arg, "--") && strings.Contains(arg, "c") && i+1 < len(args) {
			return args[i+1], true
		}
	}
	return "", false
}

// splitWords splits at blanks, and knows quotes and backslashes.
func splitWords(line string) []string {
	var words []string
	for _, command := range splitCommands(line) {
		words = append(words, command...)
	}
	return words
}

// splitCommands splits a shell line into simple commands and those into words. Expansions stay as they are written:
// whoever needs them right has to ask a shell.
func splitCommands(line string) [][]string {
	s := splitter{}
	for _, r := range line {
		s.take(r)
	}
	s.endCommand()
	return s.commands
}

type splitter struct {
	commands [][]string
	words    []string
	word     strings.Builder
	inWord   bool
	quote    rune // ' or " while inside, else 0
	escaped  bool
}

func (s *splitter) take(r rune) {
	switch {
	case s.escaped:
		s.escaped = false
		s.add(r)
	case r == '\\' && s.quote != '\'':
		s.escaped = true
		s.inWord = true
	case s.quote != 0:
		if r == s.quote {
			s.quote = 0
		} else {
			s.add(r)
		}
	case r == '\'' || r == '"':
		s.quote = r
		s.inWord = true
	case strings.ContainsRune(" \t", r):
		s.endWord()
	case strings.ContainsRune(";&|()\n", r):
		s.endCommand()
	default:
		s.add(r)
	}
}

func (s *splitter) add(r rune) {
	s.word.WriteRune(r)
	s.inWord = true
}

func (s *splitter) endWord() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}

func (s *splitter) endCommand() {
	s.endWord()
	if len(s.words) > 0 {
		s.commands = append(s.commands, s.words)
	}
	s.words = nil
}
