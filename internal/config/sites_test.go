package config

import "testing"

func TestPrefix(t *testing.T) {
	for text, want := range map[string]Prefix{
		"/a": {"", "/a"}, "/": {"", "/"}, "WWW.example.org/a%20b/": {"www.example.org", "/a b/"}, "[2001:db8::1]/a": {},
		"a": {}, "": {}, "http://a/b": {}, "a.test:80/b": {}, "*.test/b": {}, "/%zz": {},
	} {
		var p Prefix
		if err := p.UnmarshalText([]byte(text)); (err != nil) != (want == Prefix{}) || p != want {
			t.Errorf("%q is %+v (%v), want %+v", text, p, err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	s := Sites{
		Private: []Prefix{{"", "/a"}, {"one.test", "/"}, {"", "/b/in/"}, {"one.test", "/d"}},
		Public:  []Prefix{{"", "/b"}, {"", "/a/pub"}, {"one.test", "/c"}, {"", "/d"}},
	}
	for _, c := range []struct {
		host, path     string
		private, known bool
	}{
		{"", "/", false, false},
		{"", "/a", true, true},
		{"", "/a/x", true, true},
		{"", "/ab", false, false},
		{"", "/a/pub/x", false, true},
		{"two.test", "/b/x", false, true},
		{"two.test", "/b/in/x", true, true},
		{"two.test", "/b/in", false, true},
		{"one.test", "/x", true, true},
		{"ONE.test", "/c/x", false, true},
		{"one.test", "/b/x", false, true},
		{"one.test", "/d/x", true, true},
		{"two.test", "/d/x", false, true},
	} {
		if p, private, known := s.Judge(c.host, c.path); private != c.private || known != c.known {
			t.Errorf("%s%s: %v, private %v, known %v", c.host, c.path, p, private, known)
		}
	}
}
