package release

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
)

// RevisionFile is where Capistrano and Deployer note which commit a release is.
const RevisionFile = "REVISION"

// revisionOf is what was released: what REVISION says, else the commit that is checked out, "" when neither is there.
func revisionOf(dir string) string {
	if dir == "" {
		return ""
	}
	if text := firstLine(filepath.Join(dir, RevisionFile)); text != "" {
		return text
	}
	git := filepath.Join(dir, ".git")
	head := firstLine(filepath.Join(git, "HEAD"))
	ref, symbolic := strings.CutPrefix(head, "ref: ")
	if !symbolic {
		return head
	}
	if !filepath.IsLocal(ref) {
		return ""
	}
	if text := firstLine(filepath.Join(git, ref)); text != "" {
		return text
	}
	return packedRef(filepath.Join(git, "packed-refs"), ref)
}

// packedRef finds a branch whose file git has packed with others: "COMMIT NAME" in each line (gitrepository-layout(5)).
func packedRef(path, ref string) string {
	const limit = 4 << 20
	lines := bufio.NewScanner(bytes.NewReader(readBounded(path, limit)))
	for lines.Scan() {
		if commit, name, ok := strings.Cut(lines.Text(), " "); ok && name == ref {
			return commit
		}
	}
	return ""
}

// maxLine bounds what a line is of somebody else's file that is shown: a commit, or a user's name.
const maxLine = 80

// firstLine is the first line of a small file, as far as it can be printed; "" when there is none.
func firstLine(path string) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(readBounded(path, 1024)), []byte("\n"))
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(line))
	if runes := []rune(text); len(runes) > maxLine {
		return string(runes[:maxLine])
	}
	return strings.TrimSpace(text)
}

// readBounded returns the beginning of a regular file, nothing of anything else. It never waits, as it would for the writer of
// a FIFO.
func readBounded(path string, limit int64) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil
	}
	return data
}
