const modesZh = { 'whole-life-cycle': '全生命周期优化', 'lean-product': '产品精益化管理', 'product-as-a-service': '产品服务化延伸', 'remote-metering': '远程计量与核验', 'smart-production': '智能化生产管控', 'supply-chain': '供应链优化管理', 'digital-delivery': '数字化交付管理', 'supply-chain-finance': '供应链金融管理', 'digital-marketing': '数字化智能营销' }
const modesEn = { 'whole-life-cycle': 'Whole life cycle', 'lean-product': 'Lean product management', 'product-as-a-service': 'Product as a service', 'remote-metering': 'Remote metering', 'smart-production': 'Smart production', 'supply-chain': 'Supply chain', 'digital-delivery': 'Digital delivery', 'supply-chain-finance': 'Supply chain finance', 'digital-marketing': 'Digital marketing' }

export const words = {
  zh: {
    menu: '应用市场', title: '应用市场', hint: '一个方案包含模板、编码规则、扫码流程、指标和标签。安装后立即可用，无需编程；多个方案可以共用同一批标识。',
    list: '解决方案', installed: '已安装', notInstalled: '未安装', newer: '有新版本 {v}', half: { installing: '安装未完成', removing: '移除未完成' }, version: '版本', as: '本企业角色：{party}', open: '查看 {title}',
    mode: '应用模式', modes: modesZh, industry: '行业', case: '案例', parties: '参与方', roles: '岗位', group: '群组', brings: '将带来', templates: '模板', codes: '编码规则', flows: '流程', indicators: '指标', pages: '页面', readme: '说明', nothingFor: '这一方不安装任何内容。',
    install: '安装', upgrade: '升级到 {v}', goOn: '继续安装', again: '重新安装', remove: '移除', back: '返回市场', since: '{time} 由 {by} 安装', sinceOnly: '{time} 安装',
    installTitle: '安装“{title}”', party: '本企业在其中是', partyHint: '决定安装哪些模板、流程和指标。', others: '其他参与方的前缀', othersHint: '流程据此到对方节点查询；暂不确定的可以留空，以后再次安装时补充。', prefixHint: '如 88.118.1002', badPrefix: '前缀形如 88.118.1002', needParty: '请选择本企业的角色', cancel: '取消', doInstall: '开始安装', busy: '正在安装：模板、编码规则、流程、指标依次就位，可能需要十几秒。', done: '“{title}”已安装。', doneNext: '去扫码、看指标，或把员工加入岗位对应的群组。',
    toFlows: '流程', toFigures: '指标', toPeople: '用户与群组',
    removeTitle: '移除“{title}”', removeText: '流程、指标、标签和岗位群组和权限将被移除；标识、事件、模板和编码规则保留。重新安装即可恢复使用。', force: '即使还有未完成的流程实例也移除', removed: '已移除“{title}”。', undoInstall: '重新安装',
    own: '安装自己的方案', ownTitle: '自己的方案', ownHint: '选择一个方案文件夹（含 solution.yaml）。可从现有方案复制一份改起：fujie solution new 名称 --from 现有方案。节点会检查每一处引用，有误则指出文件与行号，不安装任何内容。',
    pick: '选择文件夹', picked: '{name}：{n} 个文件，{kb} KB', noSheet: '此文件夹中没有 solution.yaml', noName: 'solution.yaml 中没有 solution: 名称', tooMany: '文件过多：至多 {n} 个', tooLarge: '文件过大：总计至多 {mb} MB', ownParty: '本企业的角色（只有一个角色时可留空）',
    shows: '权限', showsHint: '各方除公开内容外，向其他参与方展示的内容。安装时按所填前缀写入权限规则，移除方案时一并撤销；每次查看都记入审计记录。', show: '{party} 向 {to} 展示 {template} 的 {items}', purposes: '用途：{list}', comma: '、', holds: '已生效', holdsNot: '未生效：再次安装并填写对方前缀',
    files: '文件', schema: '方案格式（JSON Schema，供编辑器补全）', notHere: '市场中没有这个方案', notHereText: '它可能已被移除，或名称有误。',
  },
  en: {
    menu: 'Market', title: 'Market of solutions', hint: 'A solution brings templates, code rules, scan flows, figures and labels. It works as soon as it is installed, without programming; several share the same identifiers.',
    list: 'Solutions', installed: 'Installed', notInstalled: 'Not installed', newer: 'Version {v} is out', half: { installing: 'Installation not finished', removing: 'Removal not finished' }, version: 'Version', as: 'We are: {party}', open: 'Look at {title}',
    mode: 'Mode', modes: modesEn, industry: 'Industry', case: 'Case', parties: 'Parties', roles: 'Roles', group: 'Group', brings: 'What it brings', templates: 'Templates', codes: 'Code rules', flows: 'Flows', indicators: 'Figures', pages: 'Pages', readme: 'Description', nothingFor: 'This party installs nothing.',
    install: 'Install', upgrade: 'Upgrade to {v}', goOn: 'Go on installing', again: 'Install again', remove: 'Remove', back: 'To the market', since: 'Installed {time} by {by}', sinceOnly: 'Installed {time}',
    installTitle: 'Install “{title}”', party: 'In it, we are', partyHint: 'This decides which templates, flows and figures are installed.', others: 'Prefixes of the other parties', othersHint: 'Flows ask their nodes. What is not known yet can stay empty: install again later to add it.', prefixHint: '88.118.1002', badPrefix: 'A prefix looks like 88.118.1002', needParty: 'Choose what this enterprise is', cancel: 'Cancel', doInstall: 'Install', busy: 'Installing: templates, code rules, flows and figures, one after another. This may take some seconds.', done: '“{title}” is installed.', doneNext: 'Scan, look at the figures, or put people into the groups of its roles.',
    toFlows: 'Flows', toFigures: 'Figures', toPeople: 'Users and groups',
    removeTitle: 'Remove “{title}”', removeText: 'Its flows, figures, labels, groups and permissions go. Identifiers, events, templates and code rules stay; installed again, it works again.', force: 'Remove even while runs are open', removed: '“{title}” is removed.', undoInstall: 'Install again',
    own: 'Install one of our own', ownTitle: 'A solution of our own', ownHint: 'Pick the folder of a solution (with solution.yaml). A copy of another is a good beginning: fujie solution new NAME --from ANOTHER. The node checks every reference; a fault is told with file and line, and nothing is installed then.',
    pick: 'Pick a folder', picked: '{name}: {n} files, {kb} KB', noSheet: 'There is no solution.yaml in this folder', noName: 'solution.yaml has no line solution: NAME', tooMany: 'Too many files: {n} at most', tooLarge: 'Too large: {mb} MB in all at most', ownParty: 'What this enterprise is in it (may stay empty where there is one party)',
    shows: 'Permissions', showsHint: 'What parties show one another beside what everybody sees. Installing writes the rules, for the prefixes that are given; removing takes them away. Every look is in the audit trail.', show: '{party} shows {to} of {template}: {items}', purposes: 'for: {list}', comma: ', ', holds: 'in force', holdsNot: 'not in force: install again with their prefix',
    files: 'Files', schema: 'Format of solutions (JSON Schema, for editors)', notHere: 'The market has no such solution', notHereText: 'It may have been removed, or the name is wrong.',
  },
}
