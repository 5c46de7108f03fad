package dataplane

import (
	"reflect"
	"testing"
)

func sizeOf[T any]() uintptr { return reflect.TypeFor[T]().Size() }

// The garbage collector does not walk memory that holds no pointers.
func TestArenasHoldNoPointers(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[slot](), reflect.TypeFor[work]()} {
		if p := pointerIn(typ); p != "" {
			t.Errorf("%v holds a pointer in %s", typ, p)
		}
	}
}

func pointerIn(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Array:
		return pointerIn(t.Elem())
	case reflect.Struct:
		for f := range t.NumField() {
			if p := pointerIn(t.Field(f).Type); p != "" {
				return t.Field(f).Name + "." + p
			}
		}
		return ""
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return ""
	}
	return t.Kind().String()
}
