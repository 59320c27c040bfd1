# The requests that PyHandle makes (handle-protocol §3.5), by the standard library alone: what its client library and
# the batch clients built on it send, header by header, and what they need of the answers.
#
#   python3 pyhandle.py BASE PREFIX USER SECRET [CERT.pem]
import base64, http.client, json, ssl, sys, urllib.parse

base, prefix, user, secret = sys.argv[1:5]
pem = sys.argv[5] if len(sys.argv) > 5 else None
host = urllib.parse.urlparse(base).netloc
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if pem:
    context.load_cert_chain(pem)
connection = http.client.HTTPSConnection(host, context=context, timeout=20)
if pem:
    auth = {"Authorization": 'Handle clientCert="true"'}
else:
    # the user is quoted, because it holds a colon and a slash
    quoted = urllib.parse.quote(user)
    auth = {"Authorization": "Basic " + base64.b64encode((quoted + ":" + secret).encode()).decode()}

checks = 0
failed = []


def check(what, ok, seen=None):
    global checks
    checks += 1
    if not ok:
        failed.append("%s: %r" % (what, seen))


def send(method, path, body=None, head={}):
    head = dict(head)
    if body is not None:
        body = json.dumps(body)
        head["Content-Type"] = "application/json"
    connection.request(method, path, body, head)
    r = connection.getresponse()
    text = r.read().decode()
    return r.status, json.loads(text) if text else None


def url(handle, **parameters):
    # the handle goes into the path as it is
    parts = "&".join("%s=%s" % (k, v) for k, v in parameters.items())
    return "/api/handles/" + handle + ("?" + parts if parts else "")


def admin(index, owner):
    return {"index": index, "type": "HS_ADMIN", "data": {"format": "admin", "value": {"handle": owner, "index": 200, "permissions": "011111110011"}}}


def entry(index, kind, value):
    return {"index": index, "type": kind, "data": value}


h = prefix + "/PyTest-0001"
owner = "0.NA/" + prefix

# a handle that is not there
s, b = send("GET", url(h))
check("absent: status", s == 404, s)
check("absent: code", b["responseCode"] == 100, b)
check("absent: echo", b["handle"] == h, b)
s, b = send("DELETE", url(h), head=auth)
check("delete absent: 404 and 100", s == 404 and b["responseCode"] == 100, (s, b))

# register
values = [admin(100, owner), entry(1, "URL", "http://first"), entry(2, "CHECKSUM", "abc"), entry(3, "10320/loc", "<locations><location href='http://first' id='0'/></locations>")]
s, b = send("PUT", url(h, overwrite="false"), {"values": values}, auth)
check("register: 201", s == 201, (s, b))
check("register: code", b["responseCode"] == 1, b)
check("register: echo", b["handle"] == h, b)
s, b = send("PUT", url(h, overwrite="false"), {"values": values}, auth)
check("register again: 409 and 101", s == 409 and b["responseCode"] == 101, (s, b))
s, b = send("PUT", url(h, overwrite="true"), {"values": values}, auth)
check("register over it: 200 or 201", s in (200, 201) and b["responseCode"] == 1, (s, b))

# read
s, b = send("GET", url(h))
check("read: 200 and 1", s == 200 and b["responseCode"] == 1, (s, b))
check("read: echo", b["handle"] == h, b)
check("read: four values", len(b["values"]) == 4, b)
byindex = {v["index"]: v for v in b["values"]}
check("read: string", byindex[1]["data"] == {"format": "string", "value": "http://first"}, byindex[1])
check("read: admin", byindex[100]["data"]["format"] == "admin" and byindex[100]["data"]["value"] == {"handle": owner, "index": 200, "permissions": "011111110011"}, byindex[100])
check("read: ttl", byindex[1]["ttl"] == 86400, byindex[1])
check("read: timestamp", byindex[1]["timestamp"].endswith("Z"), byindex[1])
s, b = send("GET", url(h, auth="True"))
check("read past caches", s in (200, 400), (s, b))
s, b = send("GET", url(h, index=1))
check("read one index", s == 200 and [v["index"] for v in b["values"]] == [1], (s, b))
s, b = send("GET", "/api/handles/" + h + "?type=URL&type=CHECKSUM")
check("read two types", s == 200 and sorted(v["index"] for v in b["values"]) == [1, 2], (s, b))
s, b = send("GET", url(h, index=77))
check("read what is not there: 200 and 200", s == 200 and b["responseCode"] == 200, (s, b))
lower = h.lower()
s, b = send("GET", url(lower))
check("read in lower case: echo", s == 200 and b["handle"] == lower, (s, b))

# change
s, b = send("PUT", url(h, index="various", overwrite="true"), {"values": [entry(1, "URL", "http://second"), entry(4, "NEW", "n")]}, auth)
check("change: 200 or 201", s in (200, 201) and b["responseCode"] == 1, (s, b))
s, b = send("GET", url(h))
byindex = {v["index"]: v["data"]["value"] for v in b["values"]}
check("change: changed", byindex.get(1) == "http://second", byindex)
check("change: added", byindex.get(4) == "n", byindex)
check("change: kept", byindex.get(2) == "abc", byindex)
s, b = send("DELETE", url(h, index=4), head=auth)
check("delete a value", s == 200 and b["responseCode"] == 1, (s, b))
s, b = send("DELETE", url(h, index=4), head=auth)
check("delete it again: 400 and 200", s == 400 and b["responseCode"] == 200, (s, b))

# who may
s, b = send("PUT", url(h, overwrite="true"), {"values": values})
check("nobody writes: 401 or 402", s == 401 or b["responseCode"] == 402, (s, b))
wrong = {"Authorization": "Basic " + base64.b64encode((urllib.parse.quote(user) + ":wrong").encode()).decode()}
s, b = send("PUT", url(h, overwrite="true"), {"values": values}, wrong)
check("a wrong password: 401", s == 401, (s, b))

# list, as far as an administrator of the prefix may
s, b = send("GET", "/api/handles?prefix=" + prefix + "&page=0&pageSize=10", head=auth)
check("list", s == 200 and h.upper() in b["handles"] and b["totalCount"] == str(len(b["handles"])), (s, b))

s, b = send("DELETE", url(h), head=auth)
check("delete", s == 200 and b["responseCode"] == 1, (s, b))
s, b = send("GET", url(h))
check("deleted", s == 404 and b["responseCode"] == 100, (s, b))

for f in failed:
    print("FAILED", f)
print("%d of %d checks passed" % (checks - len(failed), checks))
sys.exit(1 if failed else 0)
