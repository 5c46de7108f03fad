package config

import (
	"fmt"
	"math"
)

// KernelAbove says from which size on responses are left to the server behind, because the kernel's TCP sends them with less. The
// zero value is "auto".
type KernelAbove struct {
	size Size // if set
	set  bool
	off  bool
}

// Sending is how an interface sends packets, for what depends on it.
type Sending struct {
	ZeroCopy bool // the device reads our frames itself
	Segments bool // the device cuts what it is given (TSO)
	Long     bool // what is long is given to it, or to the kernel, to cut
}

// LongFrom returns from how many segments on the rest of a response is worth while to be sent as long ones.
func (s Sending) LongFrom() int {
	if s.Segments {
		return longIfCard
	}
	return longIfKernel
}

// Measured, see ARCHITECTURE.md: fewer segments are not cheaper as one.
const (
	longIfCard   = 3
	longIfKernel = 4
)

// The sizes that "auto" chooses where each packet is sent by itself, and copied. Beyond them Apache needs less of the processor for a response
// than we do, by so much that some further small requests, which on the connection are Apache's too, don't eat it up:
// ARCHITECTURE.md has the figures.
const (
	aboveCopies   Size = 1 << 20
	aboveSegments Size = 256 << 10
)

// Above returns the most octets of a response of ours, header section included, MaxUint64 for any, and says why.
func (k KernelAbove) Above(s Sending) (octets uint64, why string) {
	switch {
	case k.off:
		return math.MaxUint64, "as asked for"
	case k.set:
		return uint64(k.size), "as asked for"
	case s.ZeroCopy:
		return math.MaxUint64, "zero copy"
	case s.Long && s.Segments:
		return math.MaxUint64, "long segments, which the card cuts"
	case s.Long:
		return math.MaxUint64, "long segments, which the kernel cuts"
	case s.Segments:
		return uint64(aboveSegments), "each packet is copied, and the card segments what the kernel sends"
	}
	return uint64(aboveCopies), "each packet is copied"
}

// UnmarshalText reads "auto", "off" or a size.
func (k *KernelAbove) UnmarshalText(text []byte) error {
	*k = KernelAbove{off: string(text) == "off"}
	if k.off || string(text) == "auto" || len(text) == 0 {
		return nil
	}
	k.set = true
	if err := k.size.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w, nor 'auto', nor 'off'", err)
	}
	if k.size == 0 { // every response has a header section
		return fmt.Errorf("%q would leave nothing to answer", text)
	}
	return nil
}

// String returns the size, "auto" or "off".
func (k KernelAbove) String() string {
	switch {
	case k.off:
		return "off"
	case k.set:
		return k.size.String()
	}
	return "auto"
}
