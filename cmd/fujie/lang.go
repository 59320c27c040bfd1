package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/fujie-id/fujie/problem"
)

// locale is the language of the messages, by the usual variables.
func locale() problem.Lang {
	for _, v := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if s := os.Getenv(v); s != "" {
			return problem.ParseLang(s)
		}
	}
	return problem.English
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say picks the sentence in the person's language and fills in args.
func (e *env) say(en, zh string, args ...any) string {
	if e.lang == problem.Chinese {
		en = zh
	}
	if len(args) == 0 {
		return en
	}
	return fmt.Sprintf(en, args...)
}

// print writes a line to the person.
func (e *env) print(en, zh string, args ...any) { fmt.Fprintln(e.out, e.say(en, zh, args...)) }

// sentence is err for the person; empty when the command has already said what there is to say.
func (e *env) sentence(err error) string {
	var c codeError
	if errors.As(err, &c) && c.err == nil {
		return ""
	}
	return problem.Say(err, e.lang)
}

type text struct{ en, zh string }

var about = text{
	"Fujie, the industrial internet identifier resolution system: run nodes, register identifiers, resolve them.",
	"符节：工业互联网标识解析体系。运行节点，登记标识，解析标识。",
}

// helps are one line a command.
var helps = map[string]text{
	"up":       {"Run a country of nodes on this machine.", "在本机运行一个国家的全部节点。"},
	"node":     {"Run one node.", "运行单个节点。"},
	"resolve":  {"Ask for what an identifier answers.", "解析标识。"},
	"register": {"Register identifiers from files.", "从文件登记标识。"},
	"get":      {"Show a record as the node that keeps it has it.", "显示所在节点上的记录原样。"},
	"verify":   {"Check an answer that was kept, or an identifier, against the root's key.", "用根密钥核验保存的答案或标识。"},
	"put":      {"Write one record.", "写入一条记录。"},
	"delete":   {"Delete a record, or some of its values.", "删除记录，或其中若干值。"},
	"list":     {"List the identifiers under a prefix.", "列出前缀下的标识。"},
	"office":   {"Apply for prefixes, vet applications, suspend, renew, revoke and move prefixes.", "申请前缀，审核申请，停用、续期、注销、迁移前缀。"},
	"key":      {"Make, show and convert keys.", "生成、查看、转换密钥。"},
	"account":  {"Users, programs, groups: who they are and what they may do.", "用户、应用、群组：身份与权限。"},
	"template": {"Say what records of one kind must look like (metadata templates).", "规定一类记录的样式（元数据模板）。"},
	"capture":  {"Capture events: EPCIS documents in JSON or XML.", "采集事件：JSON 或 XML 格式的 EPCIS 文档。"},
	"events":   {"Find events by the EPCIS query language; export them for reports.", "按 EPCIS 查询语言查找事件；导出用于报表。"},
	"share":    {"Say who sees how much of an enterprise's events.", "设定企业事件的可见范围。"},
	"trace":    {"Say where a thing came from and where it all went, across enterprises.", "跨企业追溯：物品从哪里来、到哪里去。"},
	"recall":   {"Call goods back, to the last piece.", "召回：追到最后一件。"},
	"codes":    {"Make codes by rules: single ones, or millions into a file.", "按规则发码：单个，或批量写入文件。"},
	"export":   {"Write a whole node to one file.", "把整个节点导出为一个文件。"},
	"import":   {"Read such a file into a node.", "把导出文件导入节点。"},
	"audit":    {"Look at a node's log from outside, or check a proof from it.", "从外部查验节点的账本，或校验其证明。"},
	"policy":   {"Rules about who sees and edits what: test them, list them, see who looked.", "权限规则（谁可查看、谁可编辑）：测试、列出、查看访问记录。"},
	"backup":   {"Write a whole node, keys included, to one file.", "把整个节点（含密钥）备份为一个文件。"},
	"restore":  {"Bring a node back from such a file.", "从备份文件恢复节点。"},
	"upgrade":  {"See that this version can work with a node's folder.", "检查本版本能否使用某节点的目录。"},
	"escrow":   {"Deposit a prefix's data, encrypted, and restore it.", "加密托管前缀数据，以及恢复。"},
	"site":     {"Ask one of several sites how it does; have it take over.", "查询多站点之一的状态；令其接管。"},
	"bench":    {"Measure, beside peers and ceilings.", "测量性能，与同类软件和上限对照。"},
	"version":  {"Say which build this is.", "显示版本。"},
	"help":     {"Explain a topic: exit-codes, formats.", "解释主题：exit-codes（退出码）、formats（格式）。"},
}

// examples are shown below a command's help.
var examples = map[string]string{
	"up":       "fujie up\nfujie up --data ./country --processes\nfujie up --check --input devices.jsonl.gz",
	"node":     "fujie node config > node.yaml\nfujie node run --config node.yaml",
	"resolve":  "fujie resolve 88.118.1001/PUMP-2026-0001\nfujie resolve 88.118.1001/PUMP-2026-0001 --type URL --at 127.0.0.1:2641\nfujie resolve 88.118.1001/PUMP-2026-0001 --trace --verify\nfujie resolve VAA0881181001/PUMP-2026-0001 --json",
	"register": "fujie register products.jsonl.gz --acked done.txt\nfujie register --map sim/maps/openfda-udi.yaml devices.jsonl.gz\nfujie register --server https://127.0.0.1:8080 --as 300:0.NA/88.118.1001 --key prefix.pem parts.csv",
	"get":      "fujie get 88.118.1001/PUMP-2026-0001\nfujie get 0.NA/88.118 --json\nfujie get 88.118.1001/PUMP-2026-0001 --as 300:88.118.1002/App_erp --key erp.pem --purpose warranty",
	"verify":   "fujie resolve 88.118.1001/PUMP-2026-0001 --proof pump.json\nfujie verify pump.json --hints hints.json\nfujie verify 88.118.1001/PUMP-2026-0001",
	"put":      "fujie put 88.118.1001/PUMP-9001 URL=https://example.com/9001 2000:serialNumber=9001\nfujie put 88.118.1001/PUMP-9001 --json record.json",
	"delete":   "fujie delete 88.118.1001/PUMP-9001\nfujie delete 88.118.1001/PUMP-9001 --index 2000",
	"list":     "fujie list 88.118.1001\nfujie list 88.118.1001 --after 88.118.1001/PUMP-2026-0020 --limit 10",
	"office":   "fujie office apply 88.118.1002 --hosted --form enterprise.yaml --key enterprise.pem\nfujie office list --state submitted\nfujie office approve 1 --reason 证照齐全\nfujie office status 1 --key enterprise.pem\nfujie office move 1 --to self-hosted --node https://192.0.2.7:8443 --node-pin SHA256:… --key enterprise.pem",
	"key":      "fujie key new --algorithm ed25519 --out admin.pem\nfujie key show admin.pem\nfujie key convert admin.pem --to handle --out admpub.bin",
	"account":  "fujie account user add 88.118/wang --role operator --password secret.txt --data ./node\nfujie account login 88.118/wang --server https://127.0.0.1:8443 --password secret.txt --out token\nfujie account app add 88.118.1001/erp --out erp.pem --server https://127.0.0.1:8443 --token token\nfujie account group add 88.118.1001/partners --member 88.118.1002/App_mes --server https://127.0.0.1:8443 --token token",
	"template": "fujie template create pump.yaml\nfujie template publish 88.118.1001/META_PUMP\nfujie template check 88.118.1001/META_PUMP serialNumber=P-1 mass=12.5\nfujie template disable 88.118.1001/META_PUMP mass\nfujie template derive 88.118.1001/META_PUMP 88.118.1002/META_PUMP\nfujie template recheck 88.118.1001/META_PUMP/2 --out broken.jsonl",
	"capture":  "fujie capture events.json --prefix 88.118.1001\nfujie capture events.xml --errors proceed --server https://127.0.0.1:8443 --pin SHA256:… --as 300:0.NA/88.118.1001 --key FILE",
	"recall":   "fujie recall open 88.610.8005 2026-01 88.610.8001/CARTON-1-03 --title 'Beef of carton 3'\nfujie recall show 88.610.8005 2026-01\nfujie recall notices 88.610.8007\nfujie recall answer 88.610.8007 NOTICE quarantined:88.610.8005/PACK-1-03-04 --done\nfujie recall close 88.610.8005 2026-01\nfujie recall below 88.610",
	"share":    "fujie share put 88.118.1001 partner --to 88.118.1002 --level trace\nfujie share put 88.118.1001 recalls --to '*' --recall\nfujie share list 88.118.1001\nfujie share remove 88.118.1001 partner",
	"events":   "fujie events MATCH_anyEPC=88.118.1001/ENG-42 --prefix 88.118.1001\nfujie events EQ_bizStep=shipping GE_eventTime=2026-10-01T00:00:00Z --prefix 88.118.1001 --json\nfujie events export --prefix 88.118.1001 --out events\nfujie events export --prefix 88.118.1001 --form postgres --out sql && psql -f sql/000001.postgres.sql\nfujie events export --data ./node --form clickhouse --schema bi --out ch",
	"trace":    "fujie trace 88.610.8005/PACK-1-03-04\nfujie trace 88.610.8005/PACK-1-03-04 --up --svg up.svg --by 88.610.8007\nfujie trace 88.610.8005/PACK-1-03-04 --siblings\nfujie trace 88.610.8005/PACK-1-03-04 --contacts --within 2h\nfujie trace 88.610.8005/PACK-1-03-04 --pdf report.pdf --evidence chain.json\nfujie trace --check chain.json",
	"codes":    "fujie codes rule 88.118.1001 rule.yaml\nfujie codes take 88.118.1001 pump 3\nfujie codes issue 88.118.1001 pump 1000000 --gzip\nfujie codes fetch 88.118.1001/JOB_000001 --wait 10m --out codes.csv.gz\nfujie codes parse 88.118.1001/PUMP-0000017 --rule pump",
	"export":   "fujie export --data ./country/nodes/medical-pump --out pump.fujie",
	"import":   "fujie import --data ./elsewhere pump.fujie",
	"audit":    "fujie audit https://id.example.com/ledger/changes\nfujie audit ./node/ledger/changes --prefix 88.118.1001\nfujie audit proof.json --log-key \"$(cat vkey)\"",
	"policy":   "fujie policy test rules.yaml\nfujie policy list 88.118.1001\nfujie policy trail 88.118.1001 --id 88.118.1001/PUMP-2026-0001\nfujie policy ask 88.118.1002 88.118.1001/PUMP-2026-0001 --purpose warranty\nfujie policy requests 88.118.1001 --state open\nfujie policy grant 88.118.1001/REQUEST_K7Q2",
	"backup":   "fujie backup --data ./node --out node.backup --to age1…\nfujie backup --server https://127.0.0.1:8080 --as 300:0.NA/88.118 --key prefix.pem --out node.backup",
	"restore":  "fujie restore node.backup --data ./again --identity age.key",
	"upgrade":  "fujie upgrade --data ./node",
	"escrow":   "fujie escrow deposit --data ./node --prefix 88.118 --place ./deposits --to age1…\nfujie escrow list --prefix 88.118 --place ./deposits --signer SHA256:…\nfujie escrow restore --data ./again --prefix 88.118 --place ./deposits --signer SHA256:… --identity age.key",
	"site":     "fujie site state --server https://127.0.0.1:8080 --as 300:0.NA/88 --key prefix.pem --pin SHA256:…\nfujie site promote --server https://127.0.0.1:8081 --as 300:0.NA/88 --key prefix.pem --pin SHA256:…",
	"bench":    "fujie bench --quick\nfujie bench --only udp --out bench/results",
}

// flagHelps are of the flags that several commands share, and of the rest, by name.
var flagHelps = map[string]text{
	"flag_data":                {"Folder of the country, or of one node.", "国家或单个节点的数据目录。"},
	"flag_server":              {"A node's HTTPS address, instead of --data.", "节点的 HTTPS 地址，代替 --data。"},
	"flag_as":                  {"Who you are, index:identifier.", "身份，索引:标识。"},
	"flag_key":                 {"File with your private key.", "私钥文件。"},
	"flag_secret":              {"File with your secret key (HS_SECKEY).", "存放口令（HS_SECKEY）的文件。"},
	"flag_pin":                 {"Fingerprint that the server's key must have.", "服务器密钥应有的指纹。"},
	"flag_json":                {"Answer in JSON.", "以 JSON 输出。"},
	"flag_at":                  {"Server to ask: HOST:PORT, or an http(s) address.", "所问服务器：主机:端口，或 http(s) 地址。"},
	"flag_trace":               {"Print each step with its time.", "打印每一步及用时。"},
	"flag_verify":              {"Check the chain of signatures from the root's key here, trusting no server.", "在本地从根密钥起校验签名链，不信任任何服务器。"},
	"flag_type":                {"Only values of this type; may be repeated.", "只要此类型的值；可重复。"},
	"flag_index":               {"Only values with this index; may be repeated.", "只要此索引的值；可重复。"},
	"flag_tcp":                 {"Use TCP from the start.", "一开始就用 TCP。"},
	"flag_hints":               {"File with the root's place and key.", "根节点地址与密钥文件。"},
	"flag_input":               {"File to register at the start, or to play the check with: our own lines, or the openFDA device list.", "启动后登记（或检查所用）的文件：本系统格式，或 openFDA 器械清单。"},
	"flag_ready":               {"Write this file once every node answers.", "全部节点应答后写出此文件。"},
	"flag_processes":           {"Run every node as a process of its own.", "每个节点各为一个进程。"},
	"flag_check":               {"Play the main job in a temporary folder and say whether it held.", "在临时目录演练主要功能并给出结论。"},
	"flag_profile":             {"Country to run, a YAML file.", "要运行的国家，YAML 文件。"},
	"flag_map":                 {"Map file: which field becomes what.", "映射文件：哪个字段成为什么。"},
	"flag_acked":               {"Append each identifier here once it is durable.", "每个标识落盘确认后追加到此文件。"},
	"flag_again":               {"Start from the first line even if an earlier run got further.", "即使上次已做到一半，也从第一行开始。"},
	"flag_encoding":            {"utf-8, gb18030 or auto.", "utf-8、gb18030 或 auto。"},
	"flag_batch":               {"Lines that are sent together.", "每批发送的行数。"},
	"flag_report":              {"Write refused lines here (default: print them).", "被拒绝的行写到此文件（默认打印）。"},
	"flag_after":               {"Start behind this identifier.", "从此标识之后开始。"},
	"flag_limit":               {"At most this many.", "最多多少个。"},
	"flag_out":                 {"File to write.", "输出文件。"},
	"flag_config":              {"Configuration file.", "配置文件。"},
	"flag_algorithm":           {"ed25519, p256, sm2 or rsa.", "ed25519、p256、sm2 或 rsa。"},
	"flag_to":                  {"pem, handle or jwk.", "pem、handle 或 jwk。"},
	"flag_public":              {"Only the public half.", "只要公钥。"},
	"flag_pass":                {"File with the passphrase.", "口令文件。"},
	"flag_secrets":             {"With secret keys and non-public values.", "包含密钥和非公开值。"},
	"flag_quick":               {"Short runs, for a look.", "短测，仅供参考。"},
	"flag_only":                {"Only these measurements: udp, udp-32, bulk, …; commas between.", "只测这些项目：udp、udp-32、bulk……；以逗号分隔。"},
	"flag_subjects":            {"Only these servers; commas between.", "只测这些服务器；以逗号分隔。"},
	"flag_names":               {"Records that every server holds.", "每个服务器的记录数。"},
	"flag_large":               {"Records for start-up, memory and disk.", "测启动、内存与磁盘所用的记录数。"},
	"flag_rounds":              {"Turns of each server.", "每个服务器的轮数。"},
	"flag_turn":                {"How long a turn is measured.", "每轮测多久。"},
	"flag_work":                {"Folder for zones, stores and built peers.", "存放区文件、存储与对照软件的目录。"},
	"flag_log":                 {"URL or folder of a log, or a file with a proof.", "账本的网址或目录，或证明文件。"},
	"flag_log_key":             {"The log's public key; else the one seen first.", "账本公钥；默认用首次见到的。"},
	"flag_state":               {"File that remembers the last look.", "记住上次查验结果的文件。"},
	"flag_witness":             {"A witness's public key; may be repeated.", "见证者公钥；可重复。"},
	"flag_quorum":              {"How many witnesses must have co-signed (default: all named).", "须有几个见证者联署（默认为所列全部）。"},
	"flag_audit_prefix":        {"List every change of this prefix's delegation that was ever logged.", "列出该前缀的委派所有记入账本的变更。"},
	"flag_full":                {"Read every entry again.", "重新读取全部条目。"},
	"flag_copy":                {"Keep a copy of the published files here.", "把公布的文件复制到此目录。"},
	"esc_seal":                 {"For whom to encrypt: an age public key, or a file with an SM2 public key; may be repeated.", "加密接收方：age 公钥，或存放 SM2 公钥的文件；可重复。"},
	"esc_identity":             {"File with the private key that opens it (age, or SM2 in PEM).", "解密私钥文件（age，或 SM2 PEM）。"},
	"esc_data":                 {"New folder for the node.", "节点的新目录。"},
	"esc_place":                {"Where deposits lie: a folder, or sftp://user@host/folder.", "托管存放处：目录，或 sftp://用户@主机/目录。"},
	"esc_prefix":               {"The prefix; those below it belong to it.", "前缀；其下级前缀包括在内。"},
	"esc_sshkey":               {"File with the SSH key to log in with.", "登录所用 SSH 私钥文件。"},
	"esc_sshhost":              {"File with the server's public key, as ssh-keyscan prints it without the name.", "服务器公钥文件（ssh-keyscan 输出，去掉主机名）。"},
	"esc_kind":                 {"full, diff, or auto: diff where there is a deposit to go on from.", "full、diff 或 auto：有可接续的托管时做 diff。"},
	"esc_volume":               {"Size of a volume in MiB.", "分卷大小，MiB。"},
	"esc_key":                  {"Key that signs the manifest (default: the prefix's).", "清单签名密钥（默认为前缀密钥）。"},
	"esc_log":                  {"Deposit log (default: escrow-log.jsonl in the node's folder).", "托管日志（默认为节点目录中的 escrow-log.jsonl）。"},
	"esc_signer":               {"Fingerprint of the key that signed the deposits.", "托管签名密钥的指纹。"},
	"esc_until":                {"Stop at this deposit.", "恢复到此次托管为止。"},
	"escrow_deposit":           {"Make a deposit of a node that does not run.", "对未运行的节点做一次托管。"},
	"escrow_list":              {"List the deposits of a prefix.", "列出前缀的托管。"},
	"escrow_restore":           {"Restore a prefix into an empty node.", "把前缀恢复到空节点。"},
	"office_info":              {"Whose office it is.", "登记机构信息。"},
	"office_apply":             {"Apply for a prefix.", "申请前缀。"},
	"office_status":            {"Show one application: where it stands and everything that happened to it.", "查看一件申请的状态与全部经过。"},
	"office_list":              {"List applications.", "列出申请。"},
	"office_submit":            {"Submit a draft.", "提交草稿。"},
	"office_withdraw":          {"Withdraw an application.", "撤回申请。"},
	"office_review":            {"Take an application into review.", "受理申请。"},
	"office_approve":           {"Approve an application: its prefix is delegated at once.", "批准申请：其前缀立即生效。"},
	"office_refuse":            {"Refuse an application, with a reason.", "驳回申请，须注明理由。"},
	"office_suspend":           {"Suspend a prefix, with a reason.", "停用前缀，须注明理由。"},
	"office_resume":            {"Resume a suspended prefix.", "恢复已停用的前缀。"},
	"office_renew":             {"Renew a prefix for another term.", "为前缀续期。"},
	"office_revoke":            {"Revoke a prefix for good, with a reason.", "注销前缀，须注明理由。"},
	"office_move":              {"Move a prefix between its host and a node of its own.", "在托管与自建之间迁移前缀。"},
	"flag_office":              {"Which office of the country: its prefix.", "国家中的哪个登记机构：其前缀。"},
	"flag_office_key":          {"File with the private key of the applicant, or of --as.", "申请者（或 --as 身份）的私钥文件。"},
	"flag_office_prefix":       {"Only applications for this prefix.", "只列出对此前缀的申请。"},
	"flag_office_token":        {"File with a log-in token.", "存放登录令牌的文件。"},
	"flag_form":                {"File with the organisation's data, YAML or JSON.", "单位信息文件，YAML 或 JSON。"},
	"flag_hosted":              {"The records are to be on the office's node (托管).", "记录存放在登记机构的节点（托管）。"},
	"flag_own_node":            {"The prefix's own node, which answers already (自建).", "前缀的自建节点，须已在运行。"},
	"flag_draft":               {"Do not submit it yet.", "暂不提交。"},
	"flag_decision":            {"Wait so long for the decision.", "等待审结的最长时间。"},
	"flag_app_state":           {"Only those in this state; may be repeated.", "只列出此状态的；可重复。"},
	"flag_reason":              {"Why.", "理由。"},
	"flag_accept":              {"A warning that you looked at and accept; may be repeated.", "已查看并接受的警示代码；可重复。"},
	"flag_days":                {"For how many days; the office's term when left out.", "续期天数；不填则为机构规定的期限。"},
	"flag_move_to":             {"self-hosted or hosted.", "self-hosted（自建）或 hosted（托管）。"},
	"flag_move_node":           {"The prefix's own node: where it moves to, or from.", "前缀的自建节点：迁移的去处或来处。"},
	"flag_cancel":              {"Give up a move that is under way.", "取消进行中的迁移。"},
	"site_state":               {"Show the role of a site, who follows it, what was set aside.", "显示站点的角色、跟随者与搁置的变更。"},
	"site_promote":             {"Have the site take over now.", "令该站点立即接管。"},
	"site_alone":               {"Even without enough votes: what only unreachable sites hold is lost.", "票数不足也接管：仅由不可达站点持有的内容将丢失。"},
	"key_new":                  {"Make a key.", "生成密钥。"},
	"policy_list":              {"Show every rule of an enterprise.", "列出企业的全部权限规则。"},
	"policy_trail":             {"Show who saw or changed what is not public, the newest first.", "查看谁访问或修改过非公开内容，最新在前。"},
	"policy_ask":               {"Ask the owner of an identifier for access, through one's own node.", "通过本企业节点向标识所有者申请访问。"},
	"policy_requests":          {"List requests for access: those to one's own records, or one's own to another enterprise.", "列出访问申请：对本企业的申请，或本企业向其他企业提出的申请。"},
	"policy_grant":             {"Grant a request for access, as it was asked for.", "按申请内容同意。"},
	"policy_refuse":            {"Refuse a request for access.", "拒绝申请。"},
	"policy_withdraw":          {"Withdraw a request that one made.", "撤回本企业提出的申请。"},
	"flag_ask_items":           {"Properties, by their English names; all if absent.", "属性英文名；缺省为全部。"},
	"flag_ask_text":            {"A word to the owner.", "给所有者的话。"},
	"flag_requests_of":         {"Requests that were made of this other enterprise.", "向该企业提出的申请。"},
	"flag_requests_state":      {"Only open, granted, refused, withdrawn, revoked or expired ones.", "仅 open、granted、refused、withdrawn、revoked 或 expired 状态。"},
	"flag_decide_reason":       {"Told to the asker.", "告知申请方的理由。"},
	"arg_request":              {"The request: PREFIX/Request_CODE.", "申请：前缀/Request_编号。"},
	"flag_trail_id":            {"Of this record only.", "仅该标识的记录。"},
	"flag_trail_limit":         {"How many, up to 200.", "条数，至多 200。"},
	"policy_test":              {"Ask the rules in a file its cases, without a node.", "用文件中的用例检验其规则，无需节点。"},
	"key_show":                 {"Show a key's kind, fingerprint and public half.", "显示密钥的类型、指纹与公钥。"},
	"key_convert":              {"Write a key in another form.", "把密钥转换为另一种格式。"},
	"flag_proof":               {"Write the answer here with its chain of signatures, for fujie verify.", "把答案连同签名链写到此文件，供 fujie verify 核验。"},
	"flag_root_key":            {"File with the root's public key; may be repeated.", "根公钥文件；可重复。"},
	"flag_on":                  {"Check as of this time, as 2026-11-22 or 2026-11-22T08:00:00Z.", "按此时刻核验，例如 2026-11-22 或 2026-11-22T08:00:00Z。"},
	"flag_purpose":             {"What the data is for, a word that the owner's rules may ask about.", "数据用途，所有者的规则可据此判断。"},
	"flag_new":                 {"Refuse if the identifier exists.", "标识已存在则拒绝。"},
	"node_init":                {"Make a node, have it admitted by its parent, and run it.", "建立节点，向上级申请接入并运行。"},
	"flag_node_data":           {"Folder of the node.", "节点的数据目录。"},
	"flag_role":                {"national, second-level or enterprise.", "national（国家顶级）、second-level（二级）或 enterprise（企业）。"},
	"flag_prefix":              {"The prefix to apply for.", "申请的前缀。"},
	"flag_parent":              {"HTTPS address of the node above.", "上级节点的 HTTPS 地址。"},
	"flag_parent_key":          {"Fingerprint of the key it shows in TLS.", "其 TLS 密钥的指纹。"},
	"flag_org":                 {"Who applies: a YAML or JSON file with the form's fields.", "申请单位信息：含表单字段的 YAML 或 JSON 文件。"},
	"flag_irp":                 {"Where to listen for the Handle protocol.", "Handle 协议的监听地址。"},
	"flag_http":                {"Where to listen for HTTP and HTTPS.", "HTTP 与 HTTPS 的监听地址。"},
	"flag_public_ip":           {"The address others reach it at, if it is another.", "他人访问的地址（与监听地址不同时）。"},
	"flag_store":               {"Where records rest: a folder, pebble://…, postgres://….", "记录的存储：目录、pebble://… 或 postgres://…。"},
	"flag_private":             {"Let delegations lead to private addresses.", "允许授权指向内网地址。"},
	"flag_note":                {"To the reviewer.", "给审核员的备注。"},
	"flag_wait":                {"How long to wait for the approval; 0 without end.", "等待审批的时长；0 为不限。"},
	"flag_no_run":              {"Do not run the node afterwards.", "批准后不运行节点。"},
	"flag_token":               {"File with the token of fujie account login.", "存放 fujie account login 所得令牌的文件。"},
	"flag_password":            {"File with the password; - for standard input.", "存放密码的文件；- 为标准输入。"},
	"flag_old":                 {"File with the old password.", "存放旧密码的文件。"},
	"flag_code":                {"One-time or recovery code.", "动态口令或恢复码。"},
	"flag_everywhere":          {"End every session of the account.", "结束该账户的所有会话。"},
	"flag_invitation":          {"The invitation.", "邀请码。"},
	"flag_ticket":              {"What the first step printed.", "第一步所打印的票据。"},
	"flag_totp_off":            {"Turn one-time codes off; with --code.", "关闭动态口令；须配合 --code。"},
	"flag_title":               {"Name for people.", "供人阅读的名称。"},
	"flag_email":               {"E-mail address.", "电子邮箱。"},
	"flag_roles":               {"A role: operator, reviewer, enterprise-admin, enterprise-user, application, auditor, regulator; at the account's own prefix without @. May be repeated.", "角色：operator、reviewer、enterprise-admin、enterprise-user、application、auditor、regulator；不写 @ 则在账户自身前缀。可重复。"},
	"flag_no_roles":            {"Take all roles away.", "取消全部角色。"},
	"flag_disable":             {"It cannot log in any more; its sessions are over.", "停用：不能再登录，会话失效。"},
	"flag_enable":              {"It can log in again.", "启用：可再登录。"},
	"flag_public_key":          {"File with the program's public key.", "存放应用公钥的文件。"},
	"flag_key_out":             {"Have a key made, and write the private half to this new file.", "生成密钥，并把私钥写到此新文件。"},
	"flag_lost":                {"The old key was lost: it holds no longer, not even for an hour.", "旧密钥已遗失：立即失效，不再保留一小时。"},
	"flag_member":              {"A member: the identifier of a user or program, or a prefix. May be repeated.", "成员：用户或应用的标识，或前缀。可重复。"},
	"flag_member_out":          {"A member to take out. May be repeated.", "要移出的成员。可重复。"},
	"flag_hidden_members":      {"Who is in it is not shown to everybody.", "成员不公开。"},
	"account_login":            {"Log in; the token goes into a file.", "登录；令牌写入文件。"},
	"account_logout":           {"End the session of a token.", "结束令牌的会话。"},
	"account_me":               {"Say who I am there, and my roles.", "显示在该节点的身份与角色。"},
	"account_accept":           {"Set a password with an invitation.", "用邀请码设置密码。"},
	"account_password":         {"Change my password.", "修改我的密码。"},
	"account_totp":             {"Turn one-time codes on or off.", "开启或关闭动态口令。"},
	"account_user":             {"Users.", "用户。"},
	"account_app":              {"Programs that sign with a key of their own.", "以自有密钥签名的应用。"},
	"account_group":            {"Groups of users, programs and whole prefixes.", "由用户、应用、前缀组成的群组。"},
	"account_user_add":         {"Make a user, with a password or an invitation.", "建立用户，设密码或发邀请。"},
	"account_app_add":          {"Make a program's account, with its key.", "建立应用账户及其密钥。"},
	"account_group_add":        {"Make a group.", "建立群组。"},
	"account_group_set":        {"Change a group.", "更改群组。"},
	"account_list":             {"List those of a prefix.", "列出某前缀下的账户。"},
	"account_set":              {"Change a user's roles, name, state.", "更改用户的角色、名称、状态。"},
	"account_invite":           {"Make another invitation, for who forgot the password.", "为忘记密码的用户再发邀请。"},
	"account_remove":           {"Remove it.", "删除。"},
	"account_rotate":           {"Give a program a new key; the old one still holds for an hour.", "为应用换新密钥；旧密钥再有效一小时。"},
	"account_revoke":           {"Take a program's keys away for good.", "永久吊销应用的密钥。"},
	"template_list":            {"List the templates of a prefix.", "列出某前缀的模板。"},
	"template_show":            {"Show a template, or one version of it.", "显示模板或其某一版本。"},
	"template_create":          {"Make a draft from a file: YAML, JSON, or a JSON Schema.", "用文件建立草稿：YAML、JSON 或 JSON Schema。"},
	"template_revise":          {"Prepare the next version from a file.", "用文件准备下一版本。"},
	"template_publish":         {"Make the draft the next version.", "发布草稿为下一版本。"},
	"template_withdraw":        {"Take a template out of use; its records stay.", "撤回模板；已有记录保留。"},
	"template_derive":          {"Make a draft of a published template, anybody's.", "由任一已发布的模板派生草稿。"},
	"template_disable":         {"In the next version a property takes no new values.", "下一版本中属性不再接受新值。"},
	"template_check":           {"Try properties against a template; writes nothing.", "按模板检查属性；不写入。"},
	"template_schema":          {"Show the newest version as JSON Schema.", "以 JSON Schema 显示最新版本。"},
	"template_recheck":         {"List the stored records that a version would refuse.", "列出不符合某一版本的已有记录。"},
	"arg_template_file":        {"YAML or JSON; - for standard input.", "YAML 或 JSON；- 表示标准输入。"},
	"arg_property":             {"English name of the property.", "属性的英文名。"},
	"arg_properties":           {"NAME=VALUE", "名称=值"},
	"flag_template_id":         {"The template's identifier, if the file does not say it.", "模板标识（文件中未注明时）。"},
	"flag_template_items":      {"File with items: more properties.", "含 items 的文件：追加的属性。"},
	"flag_template_enable":     {"It takes values again.", "恢复接受值。"},
	"flag_properties":          {"File with a JSON object of properties.", "含属性 JSON 对象的文件。"},
	"codes_rule":               {"Define a code rule from a file; it never changes.", "用文件定义编码规则；规则不可更改。"},
	"codes_rules":              {"List the code rules of a prefix.", "列出某前缀的编码规则。"},
	"codes_take":               {"Issue up to 10,000 codes at once.", "立即发放至多一万个编码。"},
	"codes_issue":              {"Begin a job that issues codes into a file.", "开始批量发码任务。"},
	"codes_status":             {"Say how far a job is.", "查看任务进度。"},
	"codes_fetch":              {"Fetch the file of a job, and check its digest.", "获取任务的文件并核对摘要。"},
	"codes_parse":              {"Take a code apart; say whether it was issued.", "解析编码，并说明是否已发放。"},
	"arg_rule":                 {"Name of the code rule.", "编码规则名。"},
	"arg_rule_file":            {"The rule, YAML or JSON; - for standard input.", "规则文件，YAML 或 JSON；- 表示标准输入。"},
	"arg_count":                {"How many.", "数量。"},
	"flag_events_prefix":       {"Whose events; needed with a running country.", "谁的事件；对运行中的国家必填。"},
	"events_find":              {"Find events (the word find may be left out).", "查找事件（find 可省略）。"},
	"events_export":            {"Add what was captured since the last time to a folder of Parquet files or SQL.", "将上次之后采集的事件加入 Parquet 或 SQL 导出目录。"},
	"flag_events_out":          {"Folder of the export; the next run goes on in it.", "导出目录；下次运行在其中接续。"},
	"flag_events_form":         {"parquet, postgres or clickhouse; the folder's, or parquet if absent.", "parquet、postgres 或 clickhouse；默认同目录已有格式，新目录为 parquet。"},
	"flag_events_schema":       {"Schema (database in ClickHouse) of the tables.", "数据表所在的模式（ClickHouse 为数据库）。"},
	"flag_events_until":        {"Events recorded before then.", "该时刻之前记录的事件。"},
	"flag_events_part":         {"Events a part at most; a stopped export goes on behind its last whole part.", "每部分最多事件数；中断后从最后一个完整部分之后继续。"},
	"flag_capture_errors":      {"rollback: all or nothing; proceed: each that can be.", "rollback：全部成功或全部放弃；proceed：逐个采集。"},
	"flag_up":                  {"Where it came from; with neither --up nor --down, both.", "溯源：从哪里来；两者皆无则都查。"},
	"flag_down":                {"Where it went.", "追踪：到哪里去。"},
	"flag_by":                  {"Ask as this enterprise; default: the first identifier's owner.", "以该企业身份查询；默认为首个标识的所有者。"},
	"flag_local":               {"Ask this node's own events only.", "仅查询本节点的事件。"},
	"flag_from":                {"Events from then on.", "自该时刻起的事件。"},
	"flag_until_event":         {"Events up to then; the state at that instant.", "截至该时刻的事件；该时刻的状态。"},
	"flag_depth":               {"Links from what was asked; 100 if absent.", "追溯层数；默认 100。"},
	"flag_recall":              {"The recall that the question belongs to.", "查询所属的召回。"},
	"flag_thing_state":         {"Say where it is, in what, in what disposition.", "显示位置、所在容器与状态。"},
	"flag_siblings":            {"List what is of the same lot, process or box.", "列出同批次、同工序或同箱的物品。"},
	"recall_open":              {"Open a recall of things or lots; all that came of them is searched for.", "开启召回：给出物品或批次，查找其全部去向。"},
	"recall_list":              {"List an enterprise's recalls.", "列出企业的召回。"},
	"recall_show":              {"Show how far a recall and each holder is.", "显示召回及各持有方的进度。"},
	"recall_search":            {"Search once more, for what moved meanwhile.", "再次查找期间移动的物品。"},
	"recall_close":             {"Close a recall.", "关闭召回。"},
	"recall_notices":           {"List notices of recalls that reached an enterprise.", "列出企业收到的召回通知。"},
	"recall_answer":            {"Answer a notice: what was found and done.", "反馈召回通知：找到多少、如何处置。"},
	"recall_below":             {"List the recalls below an authority.", "列出下级企业的召回。"},
	"flag_recall_title":        {"What everybody reads.", "召回标题，公开可见。"},
	"flag_recall_instructions": {"What holders are to do.", "对持有方的处置要求。"},
	"flag_recall_why":          {"Why it is closed although not all is accounted for.", "尚未全部反馈即关闭的原因。"},
	"flag_recall_done":         {"Nothing more is to come.", "处置完毕，不再反馈。"},
	"solution":                 {"Industry cases as folders of declarations: check, install, remove.", "行业解决方案：检查、安装、移除。"},
	"solution_check":           {"Read folders as installing would, and say every fault with its line.", "按安装时的规则检查文件夹，逐行指出问题。"},
	"solution_list":            {"List the market, and what is installed at an enterprise.", "列出应用市场及企业已安装的解决方案。"},
	"solution_install":         {"Install a solution, or bring it to the newest version.", "安装解决方案，或升级到最新版本。"},
	"solution_remove":          {"Take a solution away; records and events stay.", "移除解决方案；标识与事件保留。"},
	"solution_new":             {"Copy a solution into a folder, to make one's own of it.", "复制一个解决方案到文件夹，作为自建的起点。"},
	"arg_solution":             {"Its name on the market, or a folder.", "应用市场中的名称，或文件夹。"},
	"flag_party":               {"What the enterprise is in it.", "本企业在其中的角色。"},
	"flag_parties":             {"The prefixes of the others, by party.", "其他参与方的前缀。"},
	"flag_remove_force":        {"Although runs are not at their end.", "即使仍有未结束的流程。"},
	"flag_solution_from":       {"Which one to copy.", "复制哪一个。"},
	"flag_solution_name":       {"What the copy is called.", "副本的名称。"},
	"scan":                     {"Scan a code at an enterprise's node, as a handheld does.", "在企业节点扫码，如同 PDA。"},
	"arg_code":                 {"What was scanned.", "扫描到的编码。"},
	"flag_flow":                {"Which flow; may be left out when the code tells.", "哪个流程；编码可判断时可省略。"},
	"flag_run":                 {"The run that it goes on with.", "继续哪个流程实例。"},
	"flag_finish":              {"The step is done.", "该步骤完成。"},
	"flag_device":              {"What scanned.", "扫描设备。"},
	"flag_where":               {"Where.", "地点。"},
	"flag_scan_form":           {"A field of the step's form, for each one; a number may have a unit: 'speed=60 [mi_i]/h'.", "步骤表单的一个字段，可多次给出；数值可带单位：'speed=60 [mi_i]/h'。"},
	"flag_scan_id":             {"The sender's own number of the scan: sent again it is the same scan.", "发送方的扫描编号：重复发送视为同一次扫描。"},
	"flag_dry":                 {"Say what would happen, and do nothing.", "只说明结果，不执行。"},
	"indicator":                {"Figures of an enterprise's solutions, and the identifiers behind them.", "企业解决方案的指标及其背后的标识。"},
	"arg_indicator":            {"SOLUTION/NAME; all are listed without one.", "方案/名称；不写则列出全部。"},
	"flag_from_day":            {"The first day.", "起始日期。"},
	"flag_to_day":              {"The last day.", "截止日期。"},
	"flag_things":              {"The identifiers behind it.", "列出其背后的标识。"},
	"flag_of":                  {"Of this row.", "所属行的取值。"},
	"flag_day":                 {"Of this day, hour or week.", "所属的日、小时或周。"},
	"id":                       {"Take codes apart.", "解析编码的构成。"},
	"id_explain":               {"Say what a code is, in which scheme, and how else it is written.", "说明编码属于哪种体系、由什么构成、还有哪些写法。"},
	"flag_floors":              {"Play the floors of the solutions that are installed.", "运行已安装解决方案的模拟现场。"},
	"floor":                    {"Play a plant's floor against a country that runs here: its scanners, handhelds and systems.", "模拟一家工厂的现场：扫码器、PDA 与业务系统，对本机运行的国家操作。"},
	"system":                   {"Play a business system of a party: it takes its messages and keeps a ledger of its own.", "模拟一方的业务系统：接收消息并自行记账。"},
	"arg_system":               {"The system, as solution.yaml names it.", "业务系统，名称同 solution.yaml。"},
	"arg_floor":                {"The solution whose floor it is.", "哪个解决方案的现场。"},
	"flag_floor_count":         {"So many pieces of work; without end if 0.", "执行多少次；0 为不停。"},
	"flag_floor_every":         {"Time between two pieces of work.", "两次操作之间的间隔。"},
	"flag_floor_seed":          {"Plays the same again.", "相同种子产生相同过程。"},
	"share_put":                {"Share events with others, or change what is shared.", "向他方共享事件，或更改共享。"},
	"share_list":               {"List who sees what of an enterprise's events.", "列出企业事件的共享。"},
	"share_remove":             {"Take a share back.", "收回共享。"},
	"flag_share_to":            {"Who: 88.118.1002, 88.118.*, 88.118.1002/App_erp, or *.", "对象：88.118.1002、88.118.*、88.118.1002/App_erp 或 *。"},
	"flag_share_level":         {"exists, trace (identifiers and times), or contents.", "exists（存在证明）、trace（标识与时间）或 contents（全部内容）。"},
	"flag_share_hops":          {"Only for askers so many proved hand-overs away.", "仅限经证明相距至多若干次交接的查询方。"},
	"flag_share_recall":        {"Only in an open recall.", "仅限进行中的召回。"},
	"flag_share_steps":         {"Only these business steps.", "仅限这些业务环节。"},
	"flag_share_things":        {"Only events of these; a * at the end stands for the rest.", "仅限这些标识的事件；末尾的 * 表示任意。"},
	"flag_share_until":         {"Until when it holds.", "有效期至。"},
	"flag_contacts":            {"Find everyone and everything that met it.", "交叉追溯：查找与其接触过的人、货、车。"},
	"flag_within":              {"Two at one place within this time have met.", "在此时间内同处一地即视为接触。"},
	"flag_rounds_of":           {"Rounds: also who met those afterwards.", "轮数：继续查找与接触者接触过的。"},
	"flag_path":                {"Find the shortest way to this identifier.", "查找到该标识的最短路径。"},
	"flag_svg":                 {"Draw the graph.", "绘制关系图。"},
	"flag_timeline":            {"Draw the line of time.", "绘制时间线。"},
	"flag_trace_map":           {"Draw the map.", "绘制地图。"},
	"flag_geojson":             {"Write places and ways for any map.", "输出地点与路径（GeoJSON）。"},
	"flag_pdf":                 {"Write a report for printing, with the chain of signatures.", "生成可打印的报告，含签名链。"},
	"flag_evidence":            {"Keep the signed answers, for checking later.", "保存签名应答，供日后核验。"},
	"flag_check_evidence":      {"Check evidence, without any network.", "离线核验证据。"},
	"flag_code_date":           {"Date in the codes; today if absent.", "编码中的日期；默认今天。"},
	"flag_code_class":          {"Class in the codes.", "编码中的分类。"},
	"flag_code_format":         {"csv or jsonl.", "csv 或 jsonl。"},
	"flag_code_gzip":           {"Compress the file.", "压缩文件。"},
	"flag_job_wait":            {"Wait so long for its end.", "等待任务结束的最长时间。"},
	"flag_recheck_prefix":      {"Whose records are read; the template's own prefix if absent.", "读取哪个前缀的记录；默认为模板所在前缀。"},
	"flag_recheck_number":      {"Show an earlier recheck instead of beginning one.", "查看已有的复核，而非新建。"},
	"flag_stdin":               {"Record in JSON: a file, or - for standard input.", "JSON 记录：文件，或 - 表示标准输入。"},
}

// fillHelp puts the texts of the tables in place of the ${name} that stands in each help tag. Kong could do it itself, from variables, but it reads
// every variable again for every flag: half of a command's start with the number of commands here.
func fillHelp(lang problem.Lang) kong.Option {
	fill := func(help *string) error {
		name, ok := strings.CutPrefix(*help, "${")
		if !ok {
			return nil
		}
		name = strings.TrimSuffix(name, "}")
		t, ok := helps[name]
		if !ok {
			if t, ok = flagHelps[name]; !ok {
				return fmt.Errorf("no help text is named %s", name)
			}
		}
		*help = t.en
		if lang == problem.Chinese {
			*help = t.zh
		}
		return nil
	}
	return kong.PostBuild(func(k *kong.Kong) error {
		return kong.Visit(k.Model.Node, func(v kong.Visitable, next kong.Next) error {
			var err error
			switch v := v.(type) {
			case *kong.Node:
				err = fill(&v.Help)
			case *kong.Flag:
				err = fill(&v.Help)
			case *kong.Value:
				err = fill(&v.Help)
			}
			return next(err)
		})
	})
}

// help prints kong's help with the command's examples below.
func (e *env) help(o kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
		return err
	}
	n := ctx.Selected()
	if n == nil {
		e.print("\nfujie help exit-codes lists the exit codes.", "\nfujie help exit-codes 列出退出码。")
		return nil
	}
	for n.Parent != nil && n.Parent.Type == kong.CommandNode {
		n = n.Parent
	}
	if x := examples[n.Name]; x != "" {
		fmt.Fprintf(e.out, "\n%s\n  %s\n", e.say("Examples:", "示例："), strings.ReplaceAll(x, "\n", "\n  "))
	}
	return nil
}
