package bench

import (
	"bufio"
	"fmt"
	"io"
)

// Zone is the DNS zone that holds the bench's names for the peers: the suffix is the first label.
const Zone = "1001.118.88.bench.test."

// zoneWire is Zone on the wire.
const zoneWire = "\x041001\x03118\x0288\x05bench\x04test\x00"

// WriteZone writes a master file (RFC 1035 §5) with count records, whose TXT records have the data of the bench's
// values.
func WriteZone(w io.Writer, count uint64) error {
	bw := bufio.NewWriterSize(w, 1<<20)
	fmt.Fprintf(bw, "$ORIGIN %s\n$TTL 86400\n@ IN SOA ns hostmaster 1 7200 3600 1209600 3600\n@ IN NS ns\nns IN A 127.0.0.1\n", Zone)
	var name []byte
	for n := range count {
		name = AppendSuffix(name[:0], n)
		for _, v := range valuesOf(n) {
			fmt.Fprintf(bw, "%s IN TXT \"%s\"\n", name, v.data)
		}
	}
	return bw.Flush()
}
