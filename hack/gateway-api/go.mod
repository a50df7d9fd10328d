// The CRDs of the Gateway API that the chart's routes are checked against: `go mod download -json` says where they are.
module modelroll.dev/gateway-api

go 1.26

require sigs.k8s.io/gateway-api v1.6.3
