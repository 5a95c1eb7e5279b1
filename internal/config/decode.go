package config

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder reads a YAML tree into the configuration's types. It is stricter
// than the library's own decoding, and it does not stop at the first error:
// it notes each and goes on, and it remembers on which line each key stood,
// for the validation that follows.
type decoder struct {
	file  string
	lines map[string]int // key path to line
	errs  Errors
	// outside is what directories begin as; it is decoded before them.
	outside *Directory
	// near is the keys of the file that one below a path may have been meant
	// to be.
	near func(path string) []string
}

func (d *decoder) fail(line int, key, format string, args ...any) {
	d.errs = append(d.errs, Error{File: d.file, Line: line, Key: key, Message: fmt.Sprintf(format, args...)})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document decodes the one document that a file has; an empty file changes
// nothing.
func (d *decoder) document(data []byte, into any) {
	parser := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	err := parser.Decode(&doc)
	if err == io.EOF {
		return
	}
	if err != nil {
		d.syntax(err)
		return
	}
	var next yaml.Node
	switch err := parser.Decode(&next); {
	case err == io.EOF:
	case err != nil:
		d.syntax(err)
		return
	default:
		d.fail(next.Line, "", "a second YAML document begins here; the configuration is one document")
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		if c, ok := into.(*Config); ok {
			d.outside = &c.Directory
		}
		d.value(doc.Content[0], "", reflect.ValueOf(into).Elem())
	}
}

func (d *decoder) syntax(err error) {
	message := err.Error()
	line := 0
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	d.fail(line, "", "this is not valid YAML: %s", strings.ReplaceAll(message, "\n", " "))
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	directoriesType = reflect.TypeFor[map[string]NamedDirectory]()
)

// value decodes a node into v. The depth of the recursion is that of the
// configuration's types, whatever aliases the file has.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	for range 10 {
		if n.Kind != yaml.AliasNode {
			break
		}
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return // a key without a value keeps its default
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, path, v)
	case v.Kind() == reflect.Struct:
		d.structure(n, path, v)
	case v.Kind() == reflect.Map:
		d.mapping(n, path, v)
	case v.Kind() == reflect.Slice:
		d.list(n, path, v)
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(n, path, p.Elem())
		v.Set(p)
	default:
		d.scalar(n, path, v)
	}
}

// entry is one key of a mapping with its value.
type entry struct {
	key        string
	line       int
	valueNode  *yaml.Node
	valuesPath string
}

// entries are the keys of a mapping node, each once.
func (d *decoder) entries(n *yaml.Node, path string) []entry {
	if n.Kind != yaml.MappingNode {
		what := "the configuration"
		if path != "" {
			what = "this key"
		}
		d.fail(n.Line, path, "%s has keys below it; found %s", what, describe(n))
		return nil
	}
	first := map[string]int{}
	var entries []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			d.fail(k.Line, path, "a key must be a plain word; found %s", describe(k))
			continue
		}
		full := join(path, k.Value)
		if k.ShortTag() == "!!merge" {
			d.fail(k.Line, path, "merge keys (<<) are not supported; write the keys out")
			continue
		}
		if line, seen := first[k.Value]; seen {
			d.fail(k.Line, full, "this key is on line %d already; keep one of them", line)
			continue
		}
		first[k.Value] = k.Line
		d.lines[full] = k.Line
		entries = append(entries, entry{key: k.Value, line: k.Line, valueNode: v, valuesPath: full})
	}
	return entries
}

func (d *decoder) structure(n *yaml.Node, path string, v reflect.Value) {
	fields := fieldsOf(v)
	// Directories begin as what stands outside of them, wherever in the file
	// that is.
	var directories []entry
	for _, e := range d.entries(n, path) {
		field, ok := fields[e.key]
		switch {
		case !ok:
			d.unknown(e, path, fields)
		case field.Type() == directoriesType:
			directories = append(directories, e)
		default:
			d.value(e.valueNode, e.valuesPath, field)
		}
	}
	for _, e := range directories {
		d.value(e.valueNode, e.valuesPath, fields[e.key])
	}
}

// fieldsOf maps the keys of a structure to its fields, those of inline
// structures included.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if options == "inline" {
			maps.Copy(fields, fieldsOf(v.Field(i)))
		} else if name != "" && name != "-" {
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func (d *decoder) unknown(e entry, path string, fields map[string]reflect.Value) {
	// The right word in the wrong place is the likeliest mistake of all.
	for _, key := range d.near(path) {
		if key != e.valuesPath && strings.HasSuffix("."+key, "."+e.key) {
			d.fail(e.line, "", "unknown key %q; did you mean %q?", e.valuesPath, key)
			return
		}
	}
	known := slices.Sorted(maps.Keys(fields))
	d.fail(e.line, "", "unknown key %q; did you mean %q?", e.valuesPath, join(path, nearest(e.key, known)))
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	entries := d.entries(n, path)
	if len(entries) == 0 {
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, e := range entries {
		item := reflect.New(v.Type().Elem()).Elem()
		switch item := item.Addr().Interface().(type) {
		case *Profile:
			*item = DefaultProfile()
		case interface{ setDefaults() }:
			item.setDefaults()
		case *NamedDirectory:
			item.Directory = *d.outside
		}
		d.value(e.valueNode, e.valuesPath, item)
		m.SetMapIndex(reflect.ValueOf(e.key), item)
	}
	v.Set(m)
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n.Line, path, "expects a list, such as [a, b]; found %s", describe(n))
		return
	}
	if len(n.Content) == 0 {
		v.SetZero() // an empty list and none are the same
		return
	}
	items := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		d.lines[itemPath] = item.Line
		d.value(item, itemPath, items.Index(i))
	}
	v.Set(items)
}

func (d *decoder) duration(n *yaml.Node, path string, v reflect.Value) {
	const expects = `expects a time with its unit, such as "30s", "15m", "8h" or "90d"`
	if n.Kind != yaml.ScalarNode {
		d.fail(n.Line, path, expects+"; found %s", describe(n))
		return
	}
	duration, err := ParseDuration(n.Value)
	if err != nil {
		d.fail(n.Line, path, expects+"; found %s", describe(n))
		return
	}
	v.SetInt(int64(duration))
}

func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	expects := func(what string) {
		d.fail(n.Line, path, "expects %s; found %s", what, describe(n))
	}
	tag := ""
	if n.Kind == yaml.ScalarNode {
		tag = n.ShortTag()
	}
	switch v.Kind() {
	case reflect.String:
		switch tag {
		case "!!str":
			v.SetString(n.Value)
		case "!!int", "!!float", "!!bool", "!!timestamp":
			expects("text (put the value in quotes)")
		default:
			expects("text")
		}
	case reflect.Bool:
		var b bool
		if tag != "!!bool" || n.Decode(&b) != nil {
			expects("true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int:
		var i int64
		if tag != "!!int" || n.Decode(&i) != nil || v.OverflowInt(i) {
			expects("a whole number")
			return
		}
		v.SetInt(i)
	default:
		// A field of a kind that no branch knows is a fault of this package;
		// the tests decode every key.
		panic("config: no decoding for " + v.Type().String())
	}
}

// describe says what a node is, in the words of the person who wrote it.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys below it"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		value := n.Value
		if len(value) > 60 {
			value = value[:60] + "..."
		}
		switch n.ShortTag() {
		case "!!int", "!!float":
			return "the number " + strconv.Quote(value)
		case "!!null":
			return "nothing"
		}
		return strconv.Quote(value)
	}
	return "something else"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
