package activities

import (
	"context"
	"fmt"
	"io"

	"finobs/internal/blobdir"
	"finobs/internal/delivery"
	"finobs/internal/export"
)

func (x *Exports) send(ctx context.Context, out export.Export, d attempt, to delivery.Destination) (delivery.Receipt, error) {
	folder, err := x.Store.Within(StoreFolder(out.ID))
	if err != nil {
		return delivery.Receipt{}, err
	}
	defer folder.Close()
	files, err := bundleFiles(folder, *out.Seal)
	if err != nil {
		return delivery.Receipt{}, err
	}
	bundle := delivery.Bundle{
		ExportID: out.ID, Dataset: out.Dataset, Rows: out.Seal.Rows, ContentSHA256: out.Seal.ContentSHA256, ManifestSHA256: out.Seal.ManifestSHA256,
		SealedAt: out.Seal.SealedAt, Attempt: d.Attempt, Files: files, ManifestFile: ManifestFile,
	}
	if x.Link != nil {
		bundle.Link = x.Link(out.ID)
	}
	return to.Deliver(ctx, bundle)
}

// ManifestFile is the name of the manifest in a bundle.
const ManifestFile = "manifest.dsse.json"

// bundleFiles lists the files of a bundle in the store, the artefact first. What
// is no longer what was sealed is an error: it does not leave.
func bundleFiles(folder *blobdir.Dir, seal export.Seal) ([]delivery.File, error) {
	names, err := folder.Names()
	if err != nil {
		return nil, err
	}
	sealed := map[string]string{seal.FileName: seal.FileSHA256, ManifestFile: seal.ManifestSHA256}
	var files []delivery.File
	for _, name := range names {
		f, err := folder.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", name, err)
		}
		info, err := f.Stat()
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", name, err)
		}
		sum, err := folder.Digest(name)
		if err != nil {
			return nil, err
		}
		if want, named := sealed[name]; named && sum != want {
			return nil, damaged(name, "is not what was sealed")
		}
		delete(sealed, name)
		file := delivery.File{Name: name, Size: info.Size(), SHA256: sum, Open: func() (io.ReadSeekCloser, error) { return folder.Open(name) }}
		if name == seal.FileName {
			files = append([]delivery.File{file}, files...)
		} else {
			files = append(files, file)
		}
	}
	for name := range sealed {
		return nil, damaged(name, "is missing")
	}
	return files, nil
}

func damaged(name, what string) error {
	return &delivery.Error{Outcome: delivery.Failed, Reason: "in the exports' own store, " + name + " " + what + "; ask for a new export"}
}

// ownStore is the exports' own store as a destination: what lies there when its
// bundle is complete is delivered, for people to fetch.
type ownStore struct{ dir *blobdir.Dir }

// Deliver implements delivery.Destination. The bundle is there already.
func (o ownStore) Deliver(_ context.Context, b delivery.Bundle) (delivery.Receipt, error) {
	receipt := delivery.Receipt{Ref: StoreFolder(b.ExportID)}
	for _, f := range b.Files {
		receipt.Objects = append(receipt.Objects, delivery.Object{Name: f.Name, Key: receipt.Ref + "/" + f.Name, Size: f.Size, SHA256: f.SHA256})
	}
	return receipt, nil
}

// Fetch implements delivery.Destination.
func (o ownStore) Fetch(_ context.Context, r delivery.Receipt, name string) (io.ReadCloser, error) {
	folder, err := o.dir.Within(r.Ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", delivery.ErrMissing, err)
	}
	defer folder.Close()
	f, err := folder.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", delivery.ErrMissing, err)
	}
	return f, nil
}

// Repeatable implements delivery.Destination.
func (o ownStore) Repeatable() bool { return true }

// Describe implements delivery.Destination.
func (o ownStore) Describe() delivery.Description { return delivery.Description{Type: export.Download} }
