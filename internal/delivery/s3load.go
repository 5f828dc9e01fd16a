package delivery

import (
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"finobs/internal/outbound"

	transfertypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
)

// Limits and defaults of an S3 destination.
const (
	defaultRegion    = "us-east-1"
	defaultPartMiB   = 16
	defaultS3Timeout = time.Minute
	maxS3Timeout     = 15 * time.Minute
	maxLockDays      = 36500
)

// When checksums are sent.
const (
	whenSupported = "when_supported"
	whenRequired  = "when_required"
)

type s3Entry struct {
	Endpoint      string        `yaml:"endpoint"`
	Region        string        `yaml:"region"`
	Bucket        string        `yaml:"bucket"`
	Prefix        string        `yaml:"prefix"`
	PathStyle     bool          `yaml:"path_style"`
	AccessKeyFile string        `yaml:"access_key_file"`
	SecretKeyFile string        `yaml:"secret_key_file"`
	Checksum      string        `yaml:"checksum"`
	AllowPrivate  bool          `yaml:"allow_private"`
	CAFile        string        `yaml:"ca_file"`
	ObjectLock    *objectLock   `yaml:"object_lock"`
	PartSizeMiB   int           `yaml:"part_size_mib"`
	Timeout       time.Duration `yaml:"timeout"`
}

// objectLock says how long objects cannot be deleted.
type objectLock struct {
	Mode string `yaml:"mode"` // governance or compliance
	Days int    `yaml:"days"` // from when the export was sealed
}

func (l *objectLock) mode() transfertypes.ObjectLockMode {
	if l.Mode == "compliance" {
		return transfertypes.ObjectLockModeCompliance
	}
	return transfertypes.ObjectLockModeGovernance
}

var (
	bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionForm = regexp.MustCompile(`^[a-zA-Z0-9-]{1,64}$`)
	prefixForm = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)
)

// withDefaults returns the entry with every field that was left out.
func (e s3Entry) withDefaults() s3Entry {
	if e.Region == "" {
		e.Region = defaultRegion
	}
	if e.Checksum == "" {
		e.Checksum = whenSupported
	}
	if e.PartSizeMiB == 0 {
		e.PartSizeMiB = defaultPartMiB
	}
	if e.Timeout == 0 {
		e.Timeout = defaultS3Timeout
	}
	return e
}

func (e s3Entry) check() error {
	u, err := outbound.ParseURL(e.Endpoint, e.AllowPrivate, "the keys belong in s3.access_key_file and s3.secret_key_file")
	if err != nil {
		return fmt.Errorf("s3.endpoint: %w", err)
	}
	switch {
	case u.RawQuery != "" || strings.Trim(u.Path, "/") != "":
		return fmt.Errorf("s3.endpoint %q: want scheme and host alone; the bucket belongs in s3.bucket, a path in s3.prefix", e.Endpoint)
	case !regionForm.MatchString(e.Region):
		return fmt.Errorf("s3.region %q: want a name such as %s", e.Region, defaultRegion)
	case !bucketForm.MatchString(e.Bucket):
		return fmt.Errorf("s3.bucket %q: want 3 to 63 small letters, digits, dots and hyphens", e.Bucket)
	case e.Prefix != "" && (len(e.Prefix) > 200 || !prefixForm.MatchString(e.Prefix)):
		return fmt.Errorf("s3.prefix %q: want names of letters, digits, '.', '_' and '-', with / between them, up to 200 characters", e.Prefix)
	case e.Checksum != whenSupported && e.Checksum != whenRequired:
		return fmt.Errorf("s3.checksum %q: want %s, the default, or %s for servers that refuse checksums", e.Checksum, whenSupported, whenRequired)
	case e.PartSizeMiB < minPartMiB || e.PartSizeMiB > maxPartMiB:
		return fmt.Errorf("s3.part_size_mib %d: want %d to %d", e.PartSizeMiB, minPartMiB, maxPartMiB)
	case e.Timeout < time.Millisecond || e.Timeout > maxS3Timeout:
		return fmt.Errorf("s3.timeout %s: want up to %s; it is the time of one request, or without a byte of a download", e.Timeout, maxS3Timeout)
	}
	if l := e.ObjectLock; l != nil {
		if l.Mode != "governance" && l.Mode != "compliance" {
			return fmt.Errorf("s3.object_lock.mode %q: want governance or compliance", l.Mode)
		}
		if l.Days < 1 || l.Days > maxLockDays {
			return fmt.Errorf("s3.object_lock.days %d: want 1 to %d", l.Days, maxLockDays)
		}
	}
	return nil
}

func (e s3Entry) open(name, dir string) (Destination, error) {
	e = e.withDefaults()
	if err := e.check(); err != nil {
		return nil, err
	}
	if e.AccessKeyFile == "" || e.SecretKeyFile == "" {
		return nil, errors.New("s3.access_key_file and s3.secret_key_file are both needed; nothing comes from the environment")
	}
	access, err := outbound.ReadSecret(outbound.Within(dir, e.AccessKeyFile))
	if err != nil {
		return nil, fmt.Errorf("s3.access_key_file: %w", err)
	}
	secret, err := outbound.ReadSecret(outbound.Within(dir, e.SecretKeyFile))
	if err != nil {
		return nil, fmt.Errorf("s3.secret_key_file: %w", err)
	}
	var roots *x509.CertPool
	if e.CAFile != "" {
		if roots, err = outbound.ReadRoots(outbound.Within(dir, e.CAFile)); err != nil {
			return nil, fmt.Errorf("s3.ca_file: %w", err)
		}
	}
	d := &bucket{config: e, name: name, partSize: int64(e.PartSizeMiB) << 20, timeout: e.Timeout, now: time.Now}
	if e.Prefix != "" {
		d.prefix = e.Prefix + "/"
	}
	d.connect(string(access), string(secret), roots)
	return d, nil
}
