package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
)

// ExportOptions say in which form an export is wanted, and where.
type ExportOptions struct {
	Format      string `query:"format" enum:"csv,ndjson,parquet" default:"csv"`
	Compression string `query:"compression" enum:"none,gzip,zstd" default:"none" doc:"of a Parquet file it is that of the pages"`
	Destination string `query:"destination" maxLength:"32" doc:"name of a configured destination, see /exports/destinations; default: the configured default"`
	Renew       bool   `query:"renew" doc:"ask for a new export although the same was approved, rejected or let expire before"`
	Reason      string `query:"reason" maxLength:"2000" doc:"told to the approvers"`
}

func (o ExportOptions) options() ExportOptions { return o }

// exporting is the input of a route that exports a dataset.
type exporting interface {
	options() ExportOptions
	set() map[string]string
}

type exportIncidentsInput struct {
	IncidentFilters
	Origin string `query:"origin" enum:"live,demo" default:"live" doc:"rows of the demonstration are exported only when asked for"`
	From   string `query:"from" format:"date-time" doc:"opened at or after"`
	To     string `query:"to" format:"date-time" doc:"opened before"`
	ExportOptions
}

func (in exportIncidentsInput) set() map[string]string {
	filters := in.IncidentFilters.set()
	return with(filters, map[string]string{"origin": in.Origin, "from": in.From, "to": in.To})
}

// with adds those values that are not empty.
func with(filters, more map[string]string) map[string]string {
	for name, value := range more {
		if value != "" {
			filters[name] = value
		}
	}
	return filters
}

type exportTransactionsInput struct {
	TransactionFilters
	ExportOptions
}

type exportUsersInput struct {
	Role   string `query:"role" enum:"admin,compliance,analyst,trader,auditor,viewer,service"`
	Desk   string `query:"desk" maxLength:"32"`
	Active string `query:"active" enum:"true,false"`
	ExportOptions
}

func (in exportUsersInput) set() map[string]string {
	return with(map[string]string{}, map[string]string{"role": in.Role, "desk": in.Desk, "active": in.Active})
}

type exportEntriesInput struct {
	EntryFilters
	ExportOptions
}

// exportOf is the gated export of a dataset. The first call asks for approval;
// calls that follow with the same parameters answer where it stands, and with the
// artefact once it is sealed.
func exportOf[I exporting](s *Server, d export.Dataset) func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
	return func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		return s.export(ctx, d, (*in).options(), (*in).set())
	}
}

func (s *Server) export(ctx context.Context, d export.Dataset, o ExportOptions, filters map[string]string) (*huma.StreamResponse, error) {
	got, err := s.askExport(ctx, d, o, filters)
	if err != nil {
		return nil, err
	}
	switch got.Status {
	case approval.Pending, approval.Approved:
		return s.accepted(got), nil
	case approval.Consumed:
		x, found, err := s.Reader.ExportOf(ctx, got.ID)
		if err != nil {
			return nil, err
		}
		if found && x.Status == export.Failed {
			return nil, fault.New(fault.Gone, "export-failed", "export %d was begun and its workflow ended before it was complete; add renew=true to ask again", x.ID)
		}
		if !found || x.BundledAt == nil {
			return s.accepted(got), nil
		}
		return s.content(ctx, x)
	case approval.Rejected:
		return nil, fault.New(fault.Forbidden, "export-rejected",
			"approval %d was rejected: %q; add renew=true to ask again", got.ID, got.StatusReason)
	default:
		return nil, fault.New(fault.Gone, "export-"+string(got.Status),
			"approval %d is %s; add renew=true to ask again", got.ID, got.Status)
	}
}

func (s *Server) askExport(ctx context.Context, d export.Dataset, o ExportOptions, filters map[string]string) (asked, error) {
	me := principal(ctx)
	to, err := s.destination(ctx, o.Destination)
	if err != nil {
		return asked{}, err
	}
	spec := export.Spec{
		Dataset: d, Format: export.Format(o.Format), Compression: export.Compression(o.Compression), Destination: to, Filters: onlyReal(d, filters),
	}
	if err := spec.Validate(); err != nil {
		return asked{}, err
	}
	return s.ask(ctx, question{
		action: spec.Action(me.Person, me.Desk, approval.Live), workflowType: workflows.Export, reason: o.Reason, renew: o.Renew,
	})
}

// anySimulation asks for live entries and simulations alike.
const anySimulation = "any"

// onlyReal leaves rows of the demonstration, and simulations, out of an export unless
// they are asked for. The log itself is exported without a gap.
func onlyReal(d export.Dataset, filters map[string]string) map[string]string {
	if _, has := d.FilterNamed("origin"); has && filters["origin"] == "" {
		filters["origin"] = "live"
	}
	if d.Name == export.ComplianceLogs.Name && filters["is_simulation"] == "" {
		filters["is_simulation"] = "false"
	}
	if filters["is_simulation"] == anySimulation {
		delete(filters, "is_simulation")
	}
	return filters
}

// destination finds a destination by its name; no name is the default one.
func (s *Server) destination(ctx context.Context, name string) (export.Destination, error) {
	places, err := s.destinationsKnown(ctx)
	if err != nil {
		return export.Destination{}, err
	}
	var names []string
	for _, p := range places {
		if p.Name == name || name == "" && p.Default {
			return export.Destination{Name: p.Name, Digest: p.Digest}, nil
		}
		names = append(names, p.Name)
	}
	return export.Destination{}, fault.New(fault.Invalid, "no-such-destination", "there is no destination %q; known are %s", name, strings.Join(names, ", "))
}

// destinationsKnown waits a little for the first worker, which makes them known.
func (s *Server) destinationsKnown(ctx context.Context) (places []export.Place, err error) {
	s.poll(ctx, func() bool {
		places, err = s.Reader.Destinations(ctx)
		return err != nil || len(places) > 0
	})
	if err == nil && len(places) == 0 {
		err = fault.New(fault.Unavailable, "no-destinations-yet", "no worker has told yet where exports can be delivered; start one and try again")
	}
	return places, err
}

// accepted answers with the three keys of the brief.
func (s *Server) accepted(got asked) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		view := askedView{detailOf("Export", got.Status), got.ID, got.Status}
		c.SetHeader("Location", fmt.Sprintf("/approval/%d", got.ID))
		humagin.Unwrap(c).JSON(http.StatusAccepted, view)
	}}
}

type createExportInput struct {
	Body struct {
		Dataset     string            `json:"dataset" enum:"incidents,transactions,users,compliance_logs,audit"`
		Format      string            `json:"format,omitempty" enum:"csv,ndjson,parquet" default:"csv"`
		Compression string            `json:"compression,omitempty" enum:"none,gzip,zstd" default:"none"`
		Destination string            `json:"destination,omitempty" maxLength:"32" doc:"default: the configured default"`
		Filters     map[string]string `json:"filters,omitempty" doc:"those of the dataset's list"`
		Reason      string            `json:"reason,omitempty" maxLength:"2000" doc:"told to the approvers"`
		Renew       bool              `json:"renew,omitempty" doc:"ask again although the same was decided before"`
	}
}

// createExport is any dataset's export, under one route: the metadata of an
// export comes into being by asking for it.
func (s *Server) createExport(ctx context.Context, in *createExportInput) (*askedOutput, error) {
	d, known := export.DatasetNamed(in.Body.Dataset)
	if !known {
		return nil, fault.New(fault.Invalid, "no-such-dataset", "there is no dataset %q", in.Body.Dataset)
	}
	filters := with(map[string]string{}, in.Body.Filters)
	o := ExportOptions{
		Format: in.Body.Format, Compression: in.Body.Compression, Destination: in.Body.Destination, Reason: in.Body.Reason, Renew: in.Body.Renew,
	}
	got, err := s.askExport(ctx, d, o, filters)
	if err != nil {
		return nil, err
	}
	return &askedOutput{http.StatusAccepted, askedView{detailOf("Export", got.Status), got.ID, got.Status}}, nil
}

type destinationView struct {
	Name    string `json:"name"`
	Type    string `json:"type" enum:"download,file,s3,smtp"`
	Default bool   `json:"default"`
}

type destinationList struct {
	Items []destinationView `json:"items"`
}

func (s *Server) listDestinations(ctx context.Context, _ *struct{}) (*body[destinationList], error) {
	places, err := s.Reader.Destinations(ctx)
	if err != nil {
		return nil, err
	}
	out := destinationList{Items: []destinationView{}}
	for _, p := range places {
		out.Items = append(out.Items, destinationView{p.Name, p.Type, p.Default})
	}
	return &body[destinationList]{out}, nil
}
