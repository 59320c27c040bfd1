export const zh = {
  verdict: { passed: '通过', warned: '注意', asking: '待填写', refused: '拒绝', diverted: '分流', stopped: '停止', none: '—' },
  state: { open: '进行中', held: '已停止', ended: '已结束', cancelled: '已取消' },
  stateHint: { open: '等待下一次扫码', held: '须由管理员放行或取消', ended: '全部步骤已完成', cancelled: '可撤销的操作已撤回' },
  effect: { register: '注册标识', change: '变更属性', message: '发送消息', task: '新建任务', start: '启动流程', issue: '发码', event: '记录事件', divert: '分流指令' },
  effectState: { done: '已完成', queued: '排队执行中' },
  unit: { ms: '{n} 毫秒', s: '{n} 秒', min: '{n} 分', h: '{n} 小时', d: '{n} 天' },
  flows: {
    menu: '扫码流程', title: '扫码流程', hint: '流程把一次扫码变成一步工作：扫什么、查什么、填什么、何时通过或拒绝、随后做什么。点开流程可看步骤图，或先试运行。',
    none: '还没有流程', noneText: '流程随解决方案安装。请在应用市场安装一个解决方案，并把人员加入其岗位。', market: '去应用市场', open: '进行中 {n}', held: '已停止 {n}', least: '（至少）', begin: '开始扫码', look: '步骤图', phone: '在手机上扫码',
    messages: '业务系统消息', version: '版本 {v}', onlyLook: '您的岗位不执行首步', refresh: '刷新',
  },
  flow: {
    title: '流程', back: '全部流程', picture: '步骤图', legend: '实线为下一步，彩色线为检查不通过时的去向；虚线框由系统自动执行。数字为停在该步的实例数。', start: '开始', end: '结束', again: '重复扫码', auto: '自动执行', form: '填表', scan: '扫 {what}', scanAny: '扫任意码', scanNew: '扫新码', here: '{n} 个进行中', heldHere: '{n} 个已停止',
    way: { warned: '注意', refused: '拒绝', diverted: '分流', stopped: '停止', if: '符合条件', finish: '按钮', timer: '超时' },
    step: '步骤详情', pick: '点选步骤图中的步骤，查看它检查什么、做什么。', who: '岗位', everyone: '本方案全部岗位', what: '扫描对象', fields: '表单', asks: '另查', checks: '检查', noChecks: '没有检查', does: '执行', doesNothing: '不执行操作', undone: '取消流程时，本步操作可撤回', onlyIf: '仅当', late: '超时后', goes: '随后', goesIf: '当', when: '条件',
    runs: '流程实例', all: '查看全部', try: '试运行', tryHint: '给一个码，看每项检查的结果和将要执行的操作，不产生任何影响。', missing: '没有这个流程', missingText: '它可能已随解决方案移除，或者您不在该方案的岗位中。', partial: '本节点只提供流程的首步。',
  },
  scan: {
    title: '桌面扫码', tryTitle: '试运行', hint: '连接扫码枪，或输入编码后回车。', tryHint: '试运行只说明会发生什么，不记录、不变更、不发送。', flow: '流程', any: '由编码判断', code: '编码', codeHint: '标识、链接或私有码', send: '提交', try: '试运行', fill: '请补充', go: '确定', cancel: '取消', result: '结果', would: '将会发生', did: '已执行', why: '检查过程', next: '下一步：{step}', finish: '完成：{what}', choose: '要做哪一项？', openRun: '查看实例',
    mode: '方式', real: '正式执行', dry: '试运行', device: '设备', where: '地点', more: '设备与地点', nothing: '不会产生任何操作', nothingDid: '未执行任何操作', onRun: '接着处理：{about}', leave: '换一件', decided: '由这项检查决定', holds: '成立', not: '不成立', ended: '流程结束', dup: '此前已提交过，未再次执行',
    form: { required: '此项必填', number: '请填写数字', integer: '请填写整数', bounds: '应在 {min} 至 {max} {unit} 之间', boundsMin: '至少 {min} {unit}', boundsMax: '至多 {max} {unit}', length: '长度应为 {min} 至 {max} 个字符', lengthMin: '至少 {min} 个字符', lengthMax: '至多 {max} 个字符', pattern: '格式不符合要求', choose: '请选择' },
  },
  runs: {
    menu: '流程实例', title: '流程实例', hint: '每扫一件物品开始一个实例。最近变动的在前。', flow: '流程', allFlows: '全部流程', state: '状态', allStates: '全部状态', about: '标识', aboutHint: '按标识查找', find: '查找', clear: '清除', result: '结论', step: '所在步骤', steps: '扫码次数', last: '最近变动', none: '没有符合条件的实例', noneText: '开始扫码后，实例会出现在这里。', list: '流程实例列表',
  },
  run: {
    title: '流程实例', about: '围绕', flow: '流程', state: '状态', started: '开始', last: '最近变动', took: '历时', scans: '扫码次数', vars: '过程变量', at: '所在步骤', timeline: '经过', nothing: '还没有记录', missing: '没有这个流程实例', missingText: '编号有误，或您不在该方案的岗位中。',
    kind: { scan: '扫码', timer: '超时', note: '系统记录', cancel: '取消', release: '放行', task: '任务' },
    stoppedTitle: { stopped: '为什么停止', refused: '为什么拒绝', diverted: '为什么分流' }, because: '由这项检查决定', cure: '处理', cureHeld: '查明原因后放行，实例从停下的地方继续；或者取消，并撤回可撤销的操作。', cureRefused: '被拒绝的扫码没有执行任何操作。可改正后重新扫码。', cureDiverted: '货物已按流程改道；在步骤图中可看去向。',
    release: '放行', cancel: '取消实例', cancelTitle: '取消这个实例', cancelText: '已执行的步骤中可撤销的操作会从新到旧撤回，不可恢复。', undoes: '将撤回以下步骤的操作：', undoesNone: '本流程没有可撤回的操作；已记录的事件保留。', releaseTitle: '放行这个实例', releaseText: '停止它的那项检查在本步不再拦截；原因会记入流水。', why: '原因', whyNeed: '请写明原因', confirmCancel: '确认取消', confirmRelease: '确认放行', keep: '返回', cancelled: '实例已取消', released: '实例已放行', onlyAdmin: '放行与取消由企业管理员操作。',
    who: '操作人', device: '设备', place: '地点', code: '扫到', late: '离线 {t} 后送达', checks: '检查过程（{n} 项）', effects: '执行的操作', goOn: '继续扫码', onPhone: '在手机上继续', after: '{t}后', trace: '查追溯', picture: '步骤图', waits: '等待：{step}',
  },
  tasks: {
    menu: '我的任务', title: '我的任务', hint: '流程派给您所在岗位的工作。先领取，别人就知道有人在做；超期的任务会上报。', none: '没有待办任务', noneText: '流程需要人处理时，任务会派到岗位，出现在这里。', open: '待领取', taken: '处理中', done: '已完成', todo: '待办', name: '任务', about: '对象', for: '岗位', due: '期限', made: '创建', by: '领取人', late: '已超期', lateBy: '已超期 {t}', left: '还剩 {t}', noDue: '无期限', take: '领取', finish: '完成', giveBack: '退回', escalate: '上报', note: '说明', noteHint: '做了什么、结果如何；记入流水', noteBack: '为什么退回，给下一位看', finishTitle: '完成任务', backTitle: '退回任务', cancel: '取消', took: '已领取', gave: '已退回', finished: '已完成', run: '流程实例', scan: '去扫码', escalated: '到期未完成时，任务会自动让上级岗位看到。', mine: '由我领取', list: '任务列表', more: '载入更多', state: '状态', reload: '刷新',
  },
  messages: {
    title: '业务系统消息', hint: '流程写给仓储、订单、ERP 等系统的消息，按顺序保存，由系统各自取走。这里只读。', back: '扫码流程', system: '系统', systemHint: '方案/系统，如 order-interception/erp', show: '查看', none: '没有消息', noneText: '流程还没有给这个系统写过消息。', pick: '选择一个系统', pickText: '消息按收件系统分开保存。', seq: '序号', kind: '类型', body: '内容', at: '时间', run: '实例', list: '消息列表', first: '从头', newer: '更新的', follow: '持续接收', following: '正在等待新消息…', known: '流程中用到的系统',
  },
}

export const en: typeof zh = {
  verdict: { passed: 'Passed', warned: 'Mind', asking: 'To fill in', refused: 'Refused', diverted: 'Diverted', stopped: 'Stopped', none: '—' },
  state: { open: 'Under way', held: 'Held', ended: 'Over', cancelled: 'Cancelled' },
  stateHint: { open: 'Waits for the next scan', held: 'An administrator lets it go on, or cancels it', ended: 'All steps are done', cancelled: 'What could be undone is undone' },
  effect: { register: 'Register', change: 'Change', message: 'Message', task: 'Task', start: 'Begin a flow', issue: 'Issue codes', event: 'Event', divert: 'Divert' },
  effectState: { done: 'done', queued: 'in the queue' },
  unit: { ms: '{n} ms', s: '{n} s', min: '{n} min', h: '{n} h', d: '{n} d' },
  flows: {
    menu: 'Flows', title: 'Flows', hint: 'A flow makes a scan a step of work: what is scanned, looked up and filled in, when it passes or is refused, and what follows. Open one to see its picture, or try it first.',
    none: 'No flows yet', noneText: 'Flows come with solutions. Install one from the market, and give people its roles.', market: 'To the market', open: '{n} under way', held: '{n} held', least: ' (at least)', begin: 'Begin to scan', look: 'Picture', phone: 'Scan by phone',
    messages: 'Messages to systems', version: 'version {v}', onlyLook: 'Its first step is for other roles', refresh: 'Refresh',
  },
  flow: {
    title: 'Flow', back: 'All flows', picture: 'Picture', legend: 'Plain lines lead to the next step, coloured ones to where a check sends a run. A dashed step is done by the system. Numbers say how many runs stand there.', start: 'Start', end: 'End', again: 'scanned again and again', auto: 'by itself', form: 'form', scan: 'scan {what}', scanAny: 'scan anything', scanNew: 'scan a new code', here: '{n} under way', heldHere: '{n} held',
    way: { warned: 'Mind', refused: 'Refused', diverted: 'Diverted', stopped: 'Stopped', if: 'If so', finish: 'Button', timer: 'Timer' },
    step: 'The step', pick: 'Choose a step of the picture to see what it checks and does.', who: 'Roles', everyone: 'every role of the solution', what: 'Scanned', fields: 'Form', asks: 'Looked up', checks: 'Checks', noChecks: 'No checks', does: 'Does', doesNothing: 'Does nothing', undone: 'Undone when the run is cancelled', onlyIf: 'only if', late: 'when late:', goes: 'Goes to', goesIf: 'if', when: 'Condition',
    runs: 'Runs', all: 'See all', try: 'Try it', tryHint: 'Give a code and see how each check comes out and what would be done. Nothing happens.', missing: 'There is no such flow', missingText: 'It may have gone with its solution, or you have none of its roles.', partial: 'This node tells only how the flow begins.',
  },
  scan: {
    title: 'Scan at the desk', tryTitle: 'Try a flow', hint: 'Use a scanner, or type a code and press Enter.', tryHint: 'A try says what would happen: nothing is recorded, changed or sent.', flow: 'Flow', any: 'The code tells', code: 'Code', codeHint: 'An identifier, a link or a private code', send: 'Send', try: 'Try', fill: 'Please fill in', go: 'OK', cancel: 'Cancel', result: 'Result', would: 'What would be done', did: 'What was done', why: 'How the checks came out', next: 'Next: {step}', finish: 'Finish: {what}', choose: 'What is to be done?', openRun: 'Show the run',
    mode: 'How', real: 'For real', dry: 'Try only', device: 'Device', where: 'Place', more: 'Device and place', nothing: 'Nothing would be done', nothingDid: 'Nothing was done', onRun: 'At work on {about}', leave: 'Another one', decided: 'this check decided', holds: 'holds', not: 'does not hold', ended: 'The flow is over', dup: 'sent before: nothing was done again',
    form: { required: 'This must be filled in', number: 'Enter a number', integer: 'Enter a whole number', bounds: 'From {min} to {max} {unit}', boundsMin: 'At least {min} {unit}', boundsMax: 'At most {max} {unit}', length: '{min} to {max} characters', lengthMin: 'At least {min} characters', lengthMax: 'At most {max} characters', pattern: 'This does not have the form that is wanted', choose: 'Choose' },
  },
  runs: {
    menu: 'Runs', title: 'Runs of flows', hint: 'Each thing that is scanned begins a run. Those that moved last come first.', flow: 'Flow', allFlows: 'All flows', state: 'State', allStates: 'All states', about: 'Identifier', aboutHint: 'Find by identifier', find: 'Find', clear: 'Clear', result: 'Verdict', step: 'Stands at', steps: 'Scans', last: 'Last moved', none: 'No such runs', noneText: 'They appear here when somebody scans.', list: 'Runs of flows',
  },
  run: {
    title: 'Run of a flow', about: 'About', flow: 'Flow', state: 'State', started: 'Begun', last: 'Last moved', took: 'Took', scans: 'Scans', vars: 'Variables', at: 'Stands at', timeline: 'What happened', nothing: 'Nothing is recorded yet', missing: 'There is no such run', missingText: 'The number is wrong, or you have no role in its solution.',
    kind: { scan: 'Scan', timer: 'Timer', note: 'Note', cancel: 'Cancelled', release: 'Let go on', task: 'Task' },
    stoppedTitle: { stopped: 'Why it stopped', refused: 'Why it was refused', diverted: 'Why it was diverted' }, because: 'this check decided', cure: 'What to do', cureHeld: 'Find out why, then let it go on from where it stands; or cancel it, and what can be undone is undone.', cureRefused: 'A refused scan did nothing. Put it right and scan again.', cureDiverted: 'The thing went another way, as the flow says; its picture shows where.',
    release: 'Let it go on', cancel: 'Cancel the run', cancelTitle: 'Cancel this run', cancelText: 'What its steps did and can be undone is undone, the newest first. This cannot be taken back.', undoes: 'These steps are undone:', undoesNone: 'Nothing in this flow can be undone; recorded events stay.', releaseTitle: 'Let this run go on', releaseText: 'The check that stopped it does not stop this step again; the reason is kept in the journal.', why: 'Reason', whyNeed: 'Say why', confirmCancel: 'Cancel the run', confirmRelease: 'Let it go on', keep: 'Back', cancelled: 'The run is cancelled', released: 'The run goes on', onlyAdmin: 'Administrators of the enterprise let runs go on and cancel them.',
    who: 'Who', device: 'Device', place: 'Place', code: 'Scanned', late: 'came {t} later, from offline', checks: 'How the checks came out ({n})', effects: 'What was done', goOn: 'Go on scanning', onPhone: 'Go on by phone', after: '{t} later', trace: 'Trace it', picture: 'Picture', waits: 'Waits for: {step}',
  },
  tasks: {
    menu: 'My tasks', title: 'My tasks', hint: 'Work that flows have for your roles. Take a task first, so that others know; late tasks go to the roles above.', none: 'No tasks', noneText: 'When a flow needs people, its task appears here for their role.', open: 'Open', taken: 'Taken', done: 'Done', todo: 'To do', name: 'Task', about: 'About', for: 'For', due: 'Due', made: 'Made', by: 'Taken by', late: 'late', lateBy: '{t} late', left: '{t} left', noDue: 'no date', take: 'Take', finish: 'Finish', giveBack: 'Give back', escalate: 'Escalate', note: 'Note', noteHint: 'What was done and what came of it; kept in the journal', noteBack: 'Why, for whoever is next', finishTitle: 'Finish the task', backTitle: 'Give the task back', cancel: 'Cancel', took: 'Taken', gave: 'Given back', finished: 'Finished', run: 'Run', scan: 'Scan', escalated: 'A task that is not done in time is shown to the roles above by itself.', mine: 'mine', list: 'Tasks', more: 'Load more', state: 'State', reload: 'Refresh',
  },
  messages: {
    title: 'Messages to systems', hint: 'What flows wrote to the warehouse, shop or ERP system, in order; each system fetches its own. You can only read here.', back: 'Flows', system: 'System', systemHint: 'solution/system, as order-interception/erp', show: 'Show', none: 'No messages', noneText: 'No flow has written to this system yet.', pick: 'Choose a system', pickText: 'Messages are kept by the system that they are for.', seq: 'No.', kind: 'Kind', body: 'Content', at: 'When', run: 'Run', list: 'Messages', first: 'From the start', newer: 'Newer', follow: 'Follow', following: 'Waiting for new messages…', known: 'Systems in these flows',
  },
}
