package config

import "net/url"

// CRLPublish is where CRLs are published besides the public listener.
type CRLPublish struct {
	// Directory is a folder that a web server serves; empty: none.
	Directory string `yaml:"directory"`
	// S3 is a bucket of S3-compatible storage.
	S3 S3 `yaml:"s3"`
}

// S3 is a bucket of S3-compatible storage.
type S3 struct {
	Endpoint string `yaml:"endpoint"` // https://host[:port]
	Bucket   string `yaml:"bucket"`   // empty: nothing is published there
	Prefix   string `yaml:"prefix"`   // of the names of objects
	Region   string `yaml:"region"`   // empty: the store is asked
	// AccessKeyFile and SecretKeyFile are the files that hold the keys; both
	// empty: the environment has them.
	AccessKeyFile string `yaml:"access_key_file"`
	SecretKeyFile string `yaml:"secret_key_file"`
	// PathStyle puts the bucket into the path of URLs.
	PathStyle bool `yaml:"path_style"`
}

func (v validator) crlPublish(p *CRLPublish) {
	s := &p.S3
	if s.Bucket == "" {
		if *s != (S3{}) {
			v.fail("ca.crl_publish.s3.bucket", "name the bucket that CRLs are published to, or leave all of ca.crl_publish.s3 out")
		}
		return
	}
	endpoint, err := url.Parse(s.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" ||
		endpoint.Path != "" && endpoint.Path != "/" || endpoint.User != nil || endpoint.RawQuery != "" {
		v.fail("ca.crl_publish.s3.endpoint", "expects the storage's address, such as https://s3.example.net; found %q", s.Endpoint)
	}
	if (s.AccessKeyFile == "") != (s.SecretKeyFile == "") {
		v.fail("ca.crl_publish.s3.access_key_file", "give access_key_file and secret_key_file, or neither of them and both keys in the environment")
	}
}
