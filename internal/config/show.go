package config

import (
	"bytes"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Show writes the configuration as a file that Parse reads, every key with
// the value that counts. A password in the store's URL is not shown.
func (c *Config) Show() ([]byte, error) {
	shown := *c
	shown.Store.URL = redact(shown.Store.URL)
	shown.Store.ReplicaURL = redact(shown.Store.ReplicaURL)
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(tree(reflect.ValueOf(shown))); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return b.Bytes(), nil
}

// redact takes the password out of a PostgreSQL URL, also out of one that has
// it as a parameter.
func redact(s string) string {
	if !strings.HasPrefix(s, "postgres") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return "(not shown)"
	}
	query := u.Query()
	if _, has := u.User.Password(); !has && !query.Has("password") {
		return s
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	query.Del("password")
	u.RawQuery = query.Encode()
	return u.String()
}

// HasPassword tells whether the store's URL holds a password, which belongs
// in a file of its own.
func (s Store) HasPassword() bool { return s.URL != "" && redact(s.URL) != s.URL }

func tree(v reflect.Value) *yaml.Node {
	if v.Type() == durationType {
		return scalar("!!str", FormatDuration(time.Duration(v.Int())))
	}
	switch v.Kind() {
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i := range v.NumField() {
			name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			switch {
			case options == "inline":
				n.Content = append(n.Content, tree(v.Field(i)).Content...)
			case name != "" && name != "-":
				if child := tree(v.Field(i)); child != nil {
					n.Content = append(n.Content, scalar("!!str", name), child)
				}
			}
		}
		return n
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if v.Len() == 0 {
			n.Style = yaml.FlowStyle
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			n.Content = append(n.Content, scalar("!!str", key.String()), tree(v.MapIndex(key)))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, tree(v.Index(i)))
		}
		return n
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return tree(v.Elem())
	case reflect.Bool:
		return scalar("!!bool", strconv.FormatBool(v.Bool()))
	case reflect.Int:
		return scalar("!!int", strconv.FormatInt(v.Int(), 10))
	default:
		return scalar("!!str", v.String())
	}
}

func scalar(tag, value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
	if tag == "!!str" && value == "" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}
