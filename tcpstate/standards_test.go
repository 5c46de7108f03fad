package tcpstate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ARCHITECTURE.md has a table of the standards that are followed, with the tests that show it: each row names some, all of them
// exist, and each number is named by one of them or by a file of TestPackets.
func TestEachStandardHasItsTest(t *testing.T) {
	const top = ".."
	text, err := os.ReadFile(filepath.Join(top, "ARCHITECTURE.md"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs the source tree: the test's binary runs elsewhere")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| standard | what is done | shown by (in `tcpstate/`) |\n|---|---|---|\n")
	if !found {
		t.Fatal("the table of standards is not there")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	numbers := regexp.MustCompile(`\b\d{4}\b`)
	tests, elsewhere := regexp.MustCompile(`\b(?:Test|Fuzz)\w+`), regexp.MustCompile("in `(internal/\\w+)`")
	rows := strings.Split(table, "\n")
	if len(rows) < 20 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 3 {
			t.Errorf("%q has %d cells", row, len(cells))
			continue
		}
		names := tests.FindAllString(cells[2], -1)
		if len(names) == 0 {
			t.Errorf("%s: no test is named", cells[0])
		}
		dir := "tcpstate"
		if m := elsewhere.FindStringSubmatch(cells[2]); m != nil {
			dir = m[1]
		}
		shown := ""
		for _, name := range names {
			text := source(t, filepath.Join(top, dir), name)
			if text == "" {
				t.Errorf("%s: there is no %s in %s", cells[0], name, dir)
			}
			shown += text
		}
		for _, number := range numbers.FindAllString(cells[0], -1) {
			files, err := filepath.Glob("testdata/" + number + "-*.pkt")
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 && !strings.Contains(shown, number) {
				t.Errorf("no test says that it is about RFC %s", number)
			}
		}
	}
}

// source returns the function name of a test file in dir, with its comment; "" if there is none.
func source(t *testing.T, dir, name string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?ms)(^//[^\n]*\n)*^func ` + name + `\(.*?^}\n`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if f := function.Find(text); f != nil {
			return string(f)
		}
	}
	return ""
}
