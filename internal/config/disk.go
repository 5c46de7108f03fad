package config

import "fmt"

// Disk are the settings of files that are too large for memory.
type Disk struct {
	MaxFile     Size `default:"0B" placeholder:"SIZE" help:"Largest file that is answered although it is larger than --max-object: what is sent of it is read from disk each time, and before the first time all of it is compared with what the server behind says. 0 for none: they are the server's behind."`
	PieceMemory Size `default:"64MiB" help:"Memory for what is read from such files, for each receive queue: 256 KiB at least for each such response, those beyond are the server's behind; at most 8 MiB for each."`
}

// Files reports whether files are answered that are too large for memory.
func (d *Disk) Files() bool { return d.MaxFile > 0 }

func (d *Disk) validate() error {
	switch {
	case d.MaxFile >= 1<<40:
		return fmt.Errorf("--max-file %s: give less than 1TiB", d.MaxFile)
	case d.PieceMemory < 1<<20 || d.PieceMemory > 1<<40:
		return fmt.Errorf("--piece-memory %s: give from 1MiB to 1TiB", d.PieceMemory)
	}
	return nil
}
