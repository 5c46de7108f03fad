package xdp

import (
	"errors"

	"github.com/cilium/ebpf"
)

const (
	// ReadyAnswers is how many answers Program.Lending has room for.
	ReadyAnswers = 256
)

// lending is the memory that the program shares with the loops, of all queues.
type lending struct{ lents, readies, dates []uint64 }

// setLending makes room for twice as many connections as are to be lent: each has one place, which another may hold.
func setLending(spec *ebpf.CollectionSpec, cfg *Config, queues int) error {
	if cfg.Lendings == 0 {
		return nil
	}
	places := 2
	for places < 2*cfg.Lendings {
		places *= 2
	}
	spec.Maps[steerMapLents].MaxEntries = uint32(places * queues)
	spec.Maps[steerMapReadies].MaxEntries = uint32(ReadyAnswers * queues)
	spec.Maps[steerMapDates].MaxEntries = uint32(queues)
	return spec.Variables[steerVarLentsMask].Set(uint32(places - 1))
}

func (l *lending) open(objects *steerObjects) error {
	var errs [3]error
	l.lents, errs[0] = mapArray[uint64](objects.Lents)
	l.readies, errs[1] = mapArray[uint64](objects.Readies)
	l.dates, errs[2] = mapArray[uint64](objects.Dates)
	return errors.Join(errs[:]...)
}

func (l *lending) close() error {
	err := errors.Join(unmapArray(l.lents), unmapArray(l.readies), unmapArray(l.dates))
	*l = lending{}
	return err
}

// Lending is the memory by which the loop of a queue lends connections to the program, until Close: connections, answers, and dates,
// as dataplane.Lending wants them. Without Config.Lendings there is none.
func (p *Program) Lending(queue int) (lents, readies, dates []uint64) {
	part := func(all []uint64) []uint64 {
		n := len(all) / p.queues
		return all[queue*n : (queue+1)*n]
	}
	return part(p.lending.lents), part(p.lending.readies), part(p.lending.dates)
}
