package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// fromFile is where to read settings that the command line does not give.
type fromFile struct {
	Config kong.ConfigFlag `placeholder:"FILE" help:"Read settings from this file (TOML): names as here without '--', such as port = 80 or root = [\"/srv/a\", \"/srv/b\"]. The command line counts more."`
}

// loadConfig is a kong.ConfigurationLoader for TOML.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	var c configFile
	if err := toml.NewDecoder(r).Decode(&c.settings); err != nil {
		if at := new(toml.DecodeError); errors.As(err, &at) {
			row, column := at.Position()
			return nil, fmt.Errorf("line %d, column %d: %w", row, column, err)
		}
		return nil, err
	}
	return &c, nil
}

// configFile is a kong.Resolver.
type configFile struct{ settings map[string]any }

// Validate refuses what is no setting of any command: it can only be a mistake.
func (c *configFile) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, command := range app.Leaves(false) {
		for _, f := range command.Flags {
			known[f.Name] = true
		}
	}
	delete(known, "config")
	delete(known, "help")
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		if !known[name] {
			return fmt.Errorf("there is no setting %q; 'xhttpd run --help' has all of them", name)
		}
	}
	return nil
}

// Resolve implements kong.Resolver.
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := c.settings[flag.Name]
	if !ok {
		return nil, nil
	}
	list, isList := value.([]any)
	switch {
	case !isList:
		return text(flag, value)
	case !flag.IsSlice():
		return nil, fmt.Errorf("%s: give one value, not a list", flag.Name)
	case flag.Tag.Sep == -1:
		for _, v := range list {
			if _, ok := v.(string); !ok {
				return nil, fmt.Errorf("%s: %v is not a text", flag.Name, v)
			}
		}
		return list, nil
	}
	var all []string
	for _, v := range list {
		s, err := text(flag, v)
		if err != nil {
			return nil, err
		}
		all = append(all, strings.ReplaceAll(s, string(flag.Tag.Sep), `\`+string(flag.Tag.Sep)))
	}
	return strings.Join(all, string(flag.Tag.Sep)), nil
}

// text returns a value as the command line would have it.
func text(flag *kong.Flag, value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case int64, float64, bool:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("%s: %v is neither a text, a number nor true or false", flag.Name, value)
}
