package strictjson_test

import (
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/strictjson"
)

type object struct {
	Name  string         `json:"name"`
	Inner map[string]any `json:"inner"`
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"plain", `{"name":"a"}`, true},
		{"unknown member", `{"name":"a","other":[1,{"x":null}]}`, true},
		{"white space around", " {\"name\":\"a\"}\n", true},
		{"braces in a string", `{"name":"` + strings.Repeat(`[{\"`, 40) + `"}`, true},
		{"member twice", `{"name":"a","name":"b"}`, false},
		{"inner member twice", `{"inner":{"a":1,"a":2}}`, false},
		{"trailing value", `{"name":"a"}{}`, false},
		{"trailing text", `{"name":"a"} x`, false},
		{"empty", ``, false},
		{"not UTF-8", "{\"name\":\"\xff\"}", false},
		{"nested too deep", strings.Repeat(`{"inner":`, 17) + `{}` + strings.Repeat(`}`, 17), false},
		{"many values", `{"inner":{"a":[` + strings.Repeat("0,", 2400) + `0]}}`, true},
		{"too many values", `{"inner":{"a":[` + strings.Repeat("0,", 2600) + `0]}}`, false},
		{"unterminated", `{"name":"a`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var v object
			if err := strictjson.Unmarshal([]byte(test.in), &v); (err == nil) != test.ok {
				t.Errorf("Unmarshal(%s) = %v, want ok %v", test.in, err, test.ok)
			}
		})
	}
}

func TestUnmarshalIsCaseSensitive(t *testing.T) {
	t.Parallel()
	var v object
	if err := strictjson.Unmarshal([]byte(`{"Name":"a"}`), &v); err != nil {
		t.Fatal(err)
	}
	if v.Name != "" {
		t.Errorf("member \"Name\" was read as \"name\"")
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{`{"name":"a"}`, `{"inner":{"a":[1,2]}}`, `{"name":"\ud800"}`, `[`, `{"a":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v object
		_ = strictjson.Unmarshal(data, &v)
	})
}
