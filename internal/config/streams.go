package config

// Streams are the settings of streams; see docs/streams.md.
type Streams struct {
	Origins          []string `env:"FINOBS_ORIGINS"`                            // origins of pages, beside the API's own, that may open streams
	StreamBuffer     int      `env:"FINOBS_STREAM_BUFFER" envDefault:"8192"`    // events that a consumer may be behind
	StreamsPerPerson int      `env:"FINOBS_STREAMS_PER_PERSON" envDefault:"20"` // open at once, at one API process
	StreamsInTotal   int      `env:"FINOBS_STREAMS_IN_TOTAL" envDefault:"5000"` // open at once, at one API process
}
