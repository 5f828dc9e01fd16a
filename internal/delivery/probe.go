package delivery

import (
	"context"
	"errors"
	"fmt"
	"os"

	"finobs/internal/mailer"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"
)

// Probe reports whether a bundle could be taken to a destination now, without
// taking one, as far as can be known by that. It says in words how far it looked. A
// folder whose disk hangs does not heed ctx.
func (d *Destinations) Probe(ctx context.Context, name string) (string, error) {
	to, known := d.Get(name)
	if !known {
		return "", fmt.Errorf("no destination is called %q", name)
	}
	probed, ok := to.(interface {
		probe(ctx context.Context) (string, error)
	})
	if !ok {
		return "", fmt.Errorf("destination %q cannot be looked at without delivering", name)
	}
	said, err := probed.probe(ctx)
	var e *Error
	if errors.As(err, &e) {
		return "", errors.New(e.Reason)
	}
	return said, err
}

func (d *directory) probe(context.Context) (string, error) {
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return "", d.failure("opening the folder", err)
	}
	defer root.Close()
	if err := unix.Access(d.dir, unix.W_OK|unix.X_OK); err != nil {
		return "", d.failure("writing", err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(d.dir, &disk); err != nil {
		return "", d.failure("asking for the room left", err)
	}
	if disk.Bavail == 0 {
		return "", d.failure("writing", unix.ENOSPC)
	}
	return fmt.Sprintf("the folder can be written; %d MiB are left", disk.Bavail*uint64(disk.Bsize)>>20), nil
}

// probe asks what a delivery asks first, so it needs no right that a delivery does
// not need.
func (d *bucket) probe(ctx context.Context) (string, error) {
	_, err := d.writer.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{
		Bucket: &d.config.Bucket, Prefix: aws.String(d.prefix), MaxUploads: aws.Int32(1),
	})
	if err != nil {
		return "", d.failure(ctx, "looking", err)
	}
	return "the bucket answers to these keys", nil
}

func (b *mailbox) probe(ctx context.Context) (string, error) {
	var e *mailer.Error
	if err := b.server.Probe(ctx); errors.As(err, &e) {
		return "", errors.New(e.Detail)
	} else if err != nil {
		return "", err
	}
	return "the mail server would take mails", nil
}
