package worker

import (
	"context"

	"finobs/activities"
	"finobs/internal/recon"
	"finobs/internal/store"
)

// newRecons plugs Postgres into the activities of reconciliation.
func newRecons(d Deps) *activities.Recons {
	return &activities.Recons{
		InTx: store.InTx[activities.ReconTx](d.Store), Verifier: d.Verifier, Spool: d.Spool, Profiles: d.Profiles, Book: d.Store.ReadBook, Tell: activities.SignalRecon,
		Open: func(ctx context.Context, p *recon.Profile) (activities.Matcher, error) {
			m, err := d.Store.Recon(ctx, p)
			if err != nil {
				return nil, err
			}
			return m, nil
		},
	}
}
