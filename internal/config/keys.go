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

// keysNear is the keys that one below path may have been meant to be: inside a
// directory, that directory's first.
func keysNear(path string) []string {
	var near []string
	if parts := strings.Split(path, "."); len(parts) > 1 && parts[0] == "directories" {
		near = keysOf(reflect.TypeFor[NamedDirectory](), join("directories", parts[1]))
		slices.Sort(near)
	}
	for _, key := range Keys() {
		if !strings.HasPrefix(key, "directories.NAME.") {
			near = append(near, key)
		}
	}
	return near
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
