package xload

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// Who has limited the load is said rightly, and the generator first of all.
func TestLimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		result Result
		want   string
	}{
		{"idle closed loop", Result{Loop: "closed", Self: Self{Busy: 0.5}}, ByServer},
		{"busy", Result{Loop: "closed", Connections: 64, Pipeline: 1, Self: Self{Busy: 0.97, Batch: 40}}, ByGenerator},
		{"busy, but the server is slower", Result{Loop: "closed", Connections: 64, Pipeline: 1, Self: Self{Busy: 1, Batch: 3}}, ByServer},
		{"busy, and in time", Result{Loop: "open", Due: 1000, Rate: 999, Seconds: 1, Self: Self{Busy: 1, Batch: 40}}, ByRate},
		{"late", Result{Loop: "open", Due: 1000, Self: Self{Late: 0.02}}, ByGenerator},
		{"ring too small", Result{Loop: "closed", Ring: Ring{Full: 2}}, ByGenerator},
		{"robbed of its processor", Result{Loop: "closed", Self: Self{Stalled: 0.1}}, ByGenerator},
		{"rate reached", Result{Loop: "open", Due: 1000, Rate: 999, Seconds: 1}, ByRate},
		{"server behind", Result{Loop: "open", Due: 1000, Rate: 900, Seconds: 1}, ByServer},
		{"all connections in use", Result{Loop: "open", Due: 1000, Rate: 999, Seconds: 1, Waited: 100}, ByConnections},
	} {
		r := c.result
		r.TCP.Received = 1000
		if r.judge(); r.Limit.By != c.want {
			t.Errorf("%s: %+v", c.name, r.Limit)
		}
		var text bytes.Buffer
		if err := r.WriteText(&text); err != nil || strings.Contains(text.String(), "LIMITED BY THE GENERATOR") != (c.want == ByGenerator) {
			t.Errorf("%s: %v\n%s", c.name, err, &text)
		}
	}
}

// A generator that has too little time says so: here a turn takes 50 µs, so that it cannot keep up.
func TestSlowGeneratorIsNoticed(t *testing.T) {
	s := newSim(t)
	s.service = 0
	g := s.generator(Load{Connections: 8})
	clock := g.clock
	g.clock = func() int64 { s.now += 50_000; return clock() }
	r := g.Run(second1(0))
	if r.Limit.By != ByGenerator || r.Self.Busy < saturated {
		t.Errorf("closed loop: %+v, %+v", r.Limit, r.Self)
	}
	s = newSim(t)
	s.service = 0
	g = s.generator(Load{Connections: 256})
	clock2 := g.clock
	g.clock = func() int64 { s.now += 2_500_000; return clock2() }
	r = g.Run(second1(10_000))
	if r.Limit.By != ByGenerator || r.Self.Late < 0.5 {
		t.Errorf("open loop: %+v, %+v", r.Limit, r.Self)
	}
}

func TestJSON(t *testing.T) {
	s := newSim(t)
	want := s.generator(Load{}).Run(second1(1000))
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want.histogram = nil
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got %+v, want %+v", &got, want)
	}
	var png bytes.Buffer
	if err := want.WritePNG(&png); err != nil || !bytes.HasPrefix(png.Bytes(), []byte("\x89PNG")) {
		t.Errorf("no picture without a histogram: %v", err)
	}
}

// A million idle keep-alive connections fit into 300 MB, and nothing in their tables is for the garbage collector to walk.
func TestMillionConnections(t *testing.T) {
	if size := Memory(1_000_000, 17, 64512); size > 300e6 {
		t.Errorf("a million connections take %.1f MB", float64(size)/1e6)
	} else {
		t.Logf("%.1f MB", float64(size)/1e6)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[user](), reflect.TypeFor[pending](), reflect.TypeFor[reader]()} {
		for f := range typ.NumField() {
			switch typ.Field(f).Type.Kind() {
			case reflect.Pointer, reflect.Slice, reflect.Map, reflect.String, reflect.Interface:
				t.Errorf("%v.%s is a pointer", typ, typ.Field(f).Name)
			}
		}
	}
}
