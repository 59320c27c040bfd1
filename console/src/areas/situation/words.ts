export const words = {
  zh: {
    menu: '态势', title: '运行态势', hint: '本节点及其下所有节点的实时运行情况。各节点每隔几秒签名报送一次；任何节点停报都会在此显示。',
    nodes: '节点', silentOf: '{n} 个停报', none: '全部在线', identifiers: '标识总量', registered: '注册（每秒）', resolved: '解析（每秒）', success: '解析成功率', noAsk: '近一分钟没有解析',
    asOf: '数据时间', every: '每 {n} 秒更新', late: '已有 {n} 秒没有更新：本节点暂时没有应答，正在重试。', pause: '暂停更新', resume: '恢复更新',
    map: '按地区', mapHint: '每格一个省级行政区，颜色越深标识越多；选中一格可筛选下方节点。示意图不表示边界。', by: { identifiers: '标识量', resolved: '解析量', nodes: '节点数' }, colour: '颜色表示',
    unplaced: '未报送地区', tile: '{name}：{nodes} 个节点，{ids} 个标识，每秒解析 {rate} 次', tileSilent: '，{n} 个停报',
    series: '最近十分钟', seriesText: '解析：最高每秒 {a} 次；注册：最高每秒 {b} 个。', byIndustry: '按行业', byScheme: '按标识体系', byRole: '按节点类型', industry: '行业', unknown: '未报送', schemes: { vaa: 'VAA（前缀 88）', handle: '其他 Handle 前缀' }, scheme: '标识体系', share: '占比',
    anomalies: '异常', allGood: '没有异常', allGoodText: '所有节点都在报送，解析成功率、时钟和数量均正常。', kinds: { silent: '停报', failing: '解析失败', clock: '时钟偏差', shrinking: '标识骤减', surge: '解析激增', restarted: '重新启动' }, since: '自',
    list: '节点列表', region: '地区', only: '仅看停报', clear: '清除筛选', node: '前缀', who: '名称', role: '类型', roles: { root: '根节点', national: '国家顶级节点', 'second-level': '二级节点', enterprise: '企业节点', recursive: '递归节点', '': '未知' }, told: '最近报送', state: '状态', online: '在线', offline: '停报', empty: '没有符合条件的节点', emptyText: '下级节点在配置中写明 parent（上级节点）后，几秒内就会出现在这里。',
    full: '大屏', leaveFull: '退出大屏',
  },
  en: {
    menu: 'Situation', title: 'Situation', hint: 'How this node and all below it are now. Each tells it every few seconds, signed; who falls silent is shown.',
    nodes: 'Nodes', silentOf: '{n} silent', none: 'all are heard', identifiers: 'Identifiers', registered: 'Registered a second', resolved: 'Resolved a second', success: 'Resolved with success', noAsk: 'nothing was asked in the last minute',
    asOf: 'As of', every: 'every {n} s', late: 'Nothing new for {n} s: this node does not answer now; it is asked again.', pause: 'Pause', resume: 'Go on',
    map: 'By region', mapHint: 'One tile a province; the darker, the more identifiers. Choose one to see its nodes below. It is a scheme, and shows no borders.', by: { identifiers: 'Identifiers', resolved: 'Resolutions', nodes: 'Nodes' }, colour: 'Colour shows',
    unplaced: 'No region told', tile: '{name}: {nodes} nodes, {ids} identifiers, {rate} resolutions a second', tileSilent: ', {n} silent',
    series: 'The last ten minutes', seriesText: 'Resolutions: at most {a} a second; registrations: at most {b}.', byIndustry: 'By industry', byScheme: 'By scheme', byRole: 'By kind of node', industry: 'Industry', unknown: 'Not told', schemes: { vaa: 'VAA (prefix 88)', handle: 'Other Handle prefixes' }, scheme: 'Scheme', share: 'Share',
    anomalies: 'Anomalies', allGood: 'Nothing odd', allGoodText: 'All nodes are heard; successes, clocks and counts are as they should be.', kinds: { silent: 'Silent', failing: 'Failing', clock: 'Clock', shrinking: 'Shrinking', surge: 'Surge', restarted: 'Restarted' }, since: 'since',
    list: 'Nodes', region: 'Region', only: 'Silent ones only', clear: 'Clear', node: 'Prefix', who: 'Name', role: 'Kind', roles: { root: 'Root', national: 'National', 'second-level': 'Second-level', enterprise: 'Enterprise', recursive: 'Recursive', '': 'Unknown' }, told: 'Last heard', state: 'State', online: 'Heard', offline: 'Silent', empty: 'No node is like that', emptyText: 'A node below appears here some seconds after its configuration names its parent.',
    full: 'Full screen', leaveFull: 'Leave full screen',
  },
}
