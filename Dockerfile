# syntax=docker/dockerfile:1.7
# finobs and finaudit, static, in an image that holds nothing else; and three images
# of others that get finobs beside their own program, because they have nothing to
# check their health with, or no folder that their user may write.
#
#   docker build --target finobs -t finobs .

# Built where the build runs, for where the image runs.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY activities/ activities/
COPY api/ api/
COPY cmd/ cmd/
COPY desks/ desks/
COPY internal/ internal/
COPY migrations/ migrations/
COPY policies/ policies/
COPY profiles/ profiles/
COPY rulebooks/ rulebooks/
COPY samples/ samples/
COPY worker/ worker/
COPY workflows/ workflows/
# Time zones are in the program: an empty image has none.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -tags timetzdata -o /out/ ./cmd/finobs ./cmd/finaudit
# Named volumes take their owner from the folder that they are mounted over.
RUN mkdir -p /state/var/lib/finobs/spool /state/var/lib/finobs/artefacts /state/var/lib/finobs/archive /state/var/lib/finobs/log \
    /state/keys/decision /state/keys/identity /state/keys/log /state/keys/manifest /state/keys/session /state/keys/public /state/keys/s3 \
    /state/tmp /bucket/data

# Nobody's account, the number that distroless images have for it.
FROM scratch AS finobs
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /state/ /
COPY --from=build /out/finobs /out/finaudit /usr/local/bin/
ENV PATH=/usr/local/bin
WORKDIR /var/lib/finobs
USER 65532:65532
EXPOSE 8080 9464
# For finobs api; the compose file says how the other processes are checked.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["/usr/local/bin/finobs", "healthcheck", "api"]
ENTRYPOINT ["/usr/local/bin/finobs"]
CMD ["--help"]

# From an empty image as well: https://github.com/open-telemetry/opentelemetry-collector-releases/blob/main/distributions/otelcol-contrib/Dockerfile
FROM otel/opentelemetry-collector-contrib:0.150.1 AS collector
COPY --from=build /out/finobs /usr/local/bin/finobs

# https://github.com/jaegertracing/jaeger/blob/main/cmd/jaeger/Dockerfile
FROM jaegertracing/jaeger:2.17.0 AS jaeger
COPY --from=build /out/finobs /usr/local/bin/finobs

# Its own image runs as root: https://github.com/versity/versitygw/blob/main/Dockerfile
FROM versity/versitygw:v1.8.0 AS s3
COPY --from=build /out/finobs /usr/local/bin/finobs
COPY --from=build --chown=65532:65532 /bucket/ /
USER 65532:65532
