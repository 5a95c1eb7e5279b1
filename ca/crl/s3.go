package crl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"path"
	"strconv"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/cairn-ca/cairn/sa"
)

// S3Config says where a bucket of S3-compatible storage is.
type S3Config struct {
	Endpoint string // https://host[:port], or http:// for one on a network of one's own
	Bucket   string
	Prefix   string // of the names of objects; empty: none
	Region   string // empty: the store is asked
	// AccessKey and SecretKey sign requests; both empty: those in the
	// environment, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
	AccessKey, SecretKey string
	// PathStyle puts the bucket into the path of URLs, not into the host name.
	PathStyle bool
	Transport http.RoundTripper // nil: the client's own
}

// S3 is a target in S3-compatible storage.
type S3 struct {
	client *minio.Client
	bucket string
	prefix string
}

const (
	// numberKey is the metadata that has the CRL number.
	numberKey = "Crl-Number"
	// s3Tries is how often a request is tried at once; Copier tries again
	// later.
	s3Tries = 3
)

// NewS3 makes a target. It connects to nothing yet.
func NewS3(cfg S3Config) (*S3, error) {
	endpoint, err := neturl.Parse(cfg.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.Path != "" && endpoint.Path != "/" {
		return nil, fmt.Errorf("the S3 endpoint %q is no https://host:port", cfg.Endpoint)
	}
	if cfg.Bucket == "" {
		return nil, errors.New("the S3 bucket is missing")
	}
	keys := credentials.NewEnvAWS()
	if cfg.AccessKey != "" || cfg.SecretKey != "" {
		keys = credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, "")
	}
	lookup := minio.BucketLookupAuto
	if cfg.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: keys, Secure: endpoint.Scheme == "https", Region: cfg.Region, BucketLookup: lookup, MaxRetries: s3Tries, Transport: cfg.Transport,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up S3: %w", err)
	}
	return &S3{client: client, bucket: cfg.Bucket, prefix: cfg.Prefix}, nil
}

// Name implements Target.
func (s *S3) Name() string { return "s3" }

// Shared implements Target.
func (s *S3) Shared() bool { return true }

func (s *S3) key(name string) string { return path.Join(s.prefix, name) }

// Number implements Target.
func (s *S3) Number(ctx context.Context, name string) (int64, error) {
	info, err := s.client.StatObject(ctx, s.bucket, s.key(name), minio.StatObjectOptions{})
	switch {
	case err == nil:
	case minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return 0, nil
	default:
		return 0, fmt.Errorf("asking for the CRL that is there: %w", err)
	}
	n, err := strconv.ParseInt(info.UserMetadata[numberKey], 10, 64)
	if err != nil {
		return 0, nil //nolint:nilerr // another program put it there; the CRL replaces it
	}
	return n, nil
}

// Put implements Target. Objects are replaced in one step (S3 has it so).
func (s *S3) Put(ctx context.Context, name string, crl sa.CRL, der *io.SectionReader) error {
	// Without its ReadAt: the client would read from several places at once.
	body := struct{ io.ReadSeeker }{der}
	_, err := s.client.PutObject(ctx, s.bucket, s.key(name), body, der.Size(), minio.PutObjectOptions{
		ContentType:      contentType,
		CacheControl:     cacheControl(int64(maxAge.Seconds())),
		Expires:          crl.NextUpdate,
		UserMetadata:     map[string]string{numberKey: strconv.FormatInt(crl.Number, 10)},
		DisableMultipart: true,
	})
	if err != nil {
		return fmt.Errorf("uploading: %w", err)
	}
	return nil
}
