package record

// The types that the system itself reads (RFC 3651 §3.2 and the deployed additions). Every other type is its users'.
const (
	TypeSite       = "HS_SITE"        // a service site: the servers that answer
	TypeSite6      = "HS_SITE.6"      // the same, with IPv6 addresses
	TypeSitePrefix = "HS_SITE.PREFIX" // the site for the records of prefixes below
	TypeDelegate   = "HS_NA_DELEGATE" // what HS_SITE.PREFIX was called before
	TypeServ       = "HS_SERV"        // the identifier that names the service
	TypeServPrefix = "HS_SERV.PREFIX" // the same, for the records of prefixes below
	TypeAdmin      = "HS_ADMIN"       // who may change the record, and how
	TypeVList      = "HS_VLIST"       // a group of identities
	TypePubKey     = "HS_PUBKEY"      // a public key
	TypeSecKey     = "HS_SECKEY"      // a secret key, never readable by anybody
	TypeAlias      = "HS_ALIAS"       // another name of the same thing
	TypeNamespace  = "HS_NAMESPACE"   // rules for the names below a prefix
	TypeCert       = "HS_CERT"        // a JWS that gives a key its powers
	TypeSignature  = "HS_SIGNATURE"   // a JWS over the digests of the record's values
	TypeLoc        = "10320/loc"      // several addresses, and how to choose
	TypeURL        = "URL"
	TypeTemplateID = "TEMPLATE_ID"  // at IndexTemplateID: the identifier of the template that the record keeps to
	TypeTemplate   = "TEMPLATE"     // at IndexTemplate: the version of it
	TypeStatus     = "FUJIE.STATUS" // in a prefix record: {"state":"suspended","since":…}; nobody answers for the prefix then
	TypeEmail      = "EMAIL"
	TypeDesc       = "DESC"
)

// Where a record that keeps to a template says so, and from where on its properties stand (china.md §3.2).
const (
	IndexTemplateID = 1000
	IndexTemplate   = 1001
	IndexProperty   = 2000
)
