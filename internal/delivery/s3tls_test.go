package delivery_test

import (
	"encoding/pem"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/delivery"
)

// Over TLS the SDK signs and sums the bodies in another way.
func TestS3OverTLS(t *testing.T) {
	t.Parallel()
	g := startGateway(t, versioned)
	p := startProxy(t, g, nil)
	secure := httptest.NewTLSServer(p.Config.Handler)
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	data := noise(11 << 20)
	b := only(bundle(data))
	for _, checksum := range []string{"when_supported", "when_required"} {
		b.ExportID++
		d := destination(t, secure.URL, "part_size_mib: 5, ca_file: "+ca+", checksum: "+checksum)
		receipt := deliver(t, d, b)
		wantAll(t, d, receipt, b)
		if summed := strings.HasSuffix(receipt.Objects[0].ChecksumSHA256, "-3"); summed != (checksum == "when_supported") {
			t.Errorf("%s: got %+v", checksum, receipt.Objects[0])
		}
	}
	// A server that nobody vouches for gets nothing.
	b.ExportID++
	stranger := destination(t, secure.URL, "")
	failedDelivery(t, stranger, b, true, "certificate")
	wantFetch(t, stranger, delivery.Receipt{Objects: []delivery.Object{{Name: "x", Key: s3Folder + "x"}}}, "x", delivery.ErrUnreachable)
}
