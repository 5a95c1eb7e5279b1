package config

import (
	"reflect"
	"slices"
	"strings"
)

// Keys lists every key that a configuration file can have, as sorted dotted
// paths. The keys of a profile stand below ca.profiles.NAME.
func Keys() []string {
	keys := keysOf(reflect.TypeFor[Config](), "")
	slices.Sort(keys)
	return keys
}

func keysOf(t reflect.Type, path string) []string {
	switch t.Kind() {
	case reflect.Pointer:
		return keysOf(t.Elem(), path)
	case reflect.Map:
		return append(keysOf(t.Elem(), path+".NAME"), path)
	case reflect.Struct:
	default:
		return []string{path}
	}
	var keys []string
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			keys = append(keys, keysOf(t.Field(i).Type, path)...)
		case name != "" && name != "-":
			keys = append(keys, keysOf(t.Field(i).Type, join(path, name))...)
		}
	}
	return keys
}
