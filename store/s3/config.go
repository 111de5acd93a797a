package s3

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Config says which bucket to use, and how.
type Config struct {
	Bucket    string
	Region    string // empty: from the environment, else us-east-1
	Endpoint  string // empty: AWS, or what the environment says
	PathStyle bool   // the bucket is in the path, not in the host name
	Checksum  string // see ParseChecksum; empty means when_required

	// Credentials, for tests. Empty: the default chain of the AWS tools.
	AccessKey, SecretKey, SessionToken string

	Timeout time.Duration // of a request that makes no progress; zero means 30 s, negative none
	Logger  *slog.Logger  // nil discards

	transport func(*http.Transport) // for tests
}

// ParseEndpoint checks the URL of a service and returns it in full. An empty
// one is none; without a scheme https is meant.
func ParseEndpoint(endpoint string) (string, error) {
	if endpoint == "" {
		return "", nil
	}
	full := endpoint
	if !strings.Contains(endpoint, "://") {
		full = "https://" + endpoint
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("the endpoint is no URL; write http://host:port or https://host:port")
	case u.User != nil:
		return "", errors.New("credentials do not belong in the endpoint; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("the endpoint %q has more than a host; write http://host:port or https://host:port", endpoint)
	}
	return strings.TrimSuffix(full, "/"), nil
}

// ParseChecksum returns when the client computes checksums of its own of what
// it puts: "when_required" (and "") for the least, which works everywhere, or
// "when_supported" for a CRC32 of everything, which some services refuse.
func ParseChecksum(s string) (aws.RequestChecksumCalculation, error) {
	switch s {
	case "", "when_required":
		return aws.RequestChecksumCalculationWhenRequired, nil
	case "when_supported":
		return aws.RequestChecksumCalculationWhenSupported, nil
	}
	return aws.RequestChecksumCalculationUnset, fmt.Errorf("checksum is %q; write when_required or when_supported", s)
}

var awsRegion = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`)

// doRegions are the regions of DigitalOcean Spaces.
var doRegions = []string{"nyc3", "ams3", "sgp1", "fra1"}

// Resolve returns the region and the endpoint that a target means. With an
// endpoint, both are as given. Otherwise the region is the name of an AWS
// region, of one of a few other services, or REGION.HOST, which stands for the
// endpoint https://HOST; a name without a dot stands for https://NAME.
func Resolve(region, endpoint string) (string, string) {
	if endpoint != "" || region == "" || awsRegion.MatchString(region) && !strings.HasPrefix(region, "wa-") {
		return region, endpoint
	}
	for _, r := range doRegions {
		if region == r {
			return r, "https://" + r + ".digitaloceanspaces.com"
		}
	}
	if region == "yandex" || region == "ru-central1" {
		return "ru-central1", "https://storage.yandexcloud.net"
	}
	if r, ok := strings.CutPrefix(region, "wa-"); ok {
		return r, "https://s3." + r + ".wasabisys.com"
	}
	if r, host, ok := strings.Cut(region, "."); ok {
		return r, "https://" + host
	}
	return region, "https://" + region
}
