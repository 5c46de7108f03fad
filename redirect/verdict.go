package redirect

// Verdict is a way in which one of the programs was left. Its String is the label of a metric.
type Verdict uint8

// The verdicts. redirect/bpf/types.h says what each means for the packet.
const (
	Foreign       = Verdict(bpfVerdictFOREIGN)
	NoRecord      = Verdict(bpfVerdictNO_RECORD)
	Expired       = Verdict(bpfVerdictEXPIRED)
	Established   = Verdict(bpfVerdictESTABLISHED)
	NotAssignable = Verdict(bpfVerdictNOT_ASSIGNABLE)
	OutOfOrder    = Verdict(bpfVerdictOUT_OF_ORDER)
	Spent         = Verdict(bpfVerdictSPENT)
	NoListener    = Verdict(bpfVerdictNO_LISTENER)
	QueueFull     = Verdict(bpfVerdictQUEUE_FULL)
	AssignRefused = Verdict(bpfVerdictASSIGN_REFUSED)
	Assigned      = Verdict(bpfVerdictASSIGNED)
	NotMarked     = Verdict(bpfVerdictNOT_MARKED)
	Injected      = Verdict(bpfVerdictINJECTED)
	NumVerdicts   = Verdict(bpfVerdictNUM_VERDICTS)
)

var verdictLabels = [NumVerdicts]string{
	Foreign:       "foreign",
	NoRecord:      "no-record",
	Expired:       "expired",
	Established:   "established",
	NotAssignable: "not-assignable",
	OutOfOrder:    "out-of-order",
	Spent:         "spent",
	NoListener:    "no-listener",
	QueueFull:     "queue-full",
	AssignRefused: "assign-refused",
	Assigned:      "assigned",
	NotMarked:     "not-marked",
	Injected:      "injected",
}

// String returns the verdict as a metric's label.
func (v Verdict) String() string {
	if v >= NumVerdicts {
		return "unknown"
	}
	return verdictLabels[v]
}
