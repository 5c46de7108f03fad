package tcpstate

import (
	"reflect"
	"testing"
)

// A connection must leave room for the rest of the data plane's slot, and hold nothing that the garbage
// collector would walk.
func TestConnIsSmallAndFlat(t *testing.T) {
	typ := reflect.TypeFor[Conn]()
	if typ.Size() > 160 {
		t.Errorf("Conn takes %d octets", typ.Size())
	}
	for _, typ := range []reflect.Type{typ, reflect.TypeFor[RecvBuf](), reflect.TypeFor[Transmit](), reflect.TypeFor[Handover]()} {
		if p := pointerIn(typ); p != "" {
			t.Errorf("%v holds a pointer in %s", typ, p)
		}
	}
	t.Logf("Conn takes %d octets", typ.Size())
}

func pointerIn(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Array:
		return pointerIn(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if p := pointerIn(f.Type); p != "" {
				return f.Name + "." + p
			}
		}
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.String, reflect.UnsafePointer:
		return t.Kind().String()
	}
	return ""
}
