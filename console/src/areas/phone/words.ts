export const zh = {
  title: '手机扫码', menu: '手机扫码', back: '返回', home: '回到桌面版', nav: '手机导航',
  online: '在线', offline: '离线', sending: '正在发送', waits: '{n} 条待发送', toSee: '{n} 条需处理',
  start: {
    choose: '选择要做的流程', any: '扫任意码', anyHint: '由编码判断该做什么', look: '查一个码', lookHint: '看它是什么、由谁担保', login: '登录后作业', loginHint: '登录后可按流程扫码、处理任务',
    none: '没有可执行的流程', noneText: '请管理员安装解决方案，并把您加入其中的角色。', old: '连不上节点：以下为上次读到的流程，扫码会先保存在本机。', install: '安装到手机', installHint: '安装后可离线打开，全屏使用', tasks: '我的任务',
  },
  scan: {
    title: '扫码', camera: '摄像头', scanner: '扫描枪', hand: '手工输入', mode: '输入方式', anything: '任意码',
    aim: '对准条码或二维码', wedge: '按扫描键扫码', wedgeHint: '请将扫描枪设为键盘模式、英文输入、回车结尾', code: '编码内容', enter: '确定', go: '提交', next: '扫下一个', again: '重新扫', busy: '正在处理…',
    continuous: '连续扫码', run: '正在处理：{about}', leave: '换一件', finish: '完成', look: '查看现状', undo: '撤销本流程', undoSure: '撤销后，本流程各步骤中可撤销的操作将全部撤回。确定撤销？', undone: '已撤销', undoWhy: '现场撤销',
    same: '接着扫同一件', fresh: '扫新的一件', held: '已停止，须由管理员放行后才能继续。', openRun: '查看流程实例', ended: '本流程已完成', cancel: '取消', keep: '继续',
  },
  camera: {
    picture: '摄像头画面', torch: '补光', other: '换摄像头', asking: '正在打开摄像头…', refused: '未允许使用摄像头', refusedCure: '请在浏览器的网站设置中允许摄像头，或改用扫描枪、手工输入。',
    none: '没有摄像头', noneCure: '请改用扫描枪或手工输入。', insecure: '当前为不安全连接', insecureCure: '摄像头只能在 HTTPS 下使用：请改用 https:// 地址，或用扫描枪、手工输入。', failed: '摄像头无法使用', failedCure: '可能被其他应用占用：请关闭后重试。',
  },
  verdict: {
    passed: '通过', warned: '注意', asking: '请填写', refused: '拒绝', diverted: '分流', stopped: '停止', kept: '已保存，待发送', error: '未受理', keptSay: '连不上节点。扫码已保存在本机，网络恢复后按顺序自动发送。',
    because: '停止原因：', why: '为什么', effects: '已执行 {n} 项', soon: '即将完成', duplicate: '重复发送，未再次执行', true: '成立', false: '不成立',
  },
  effect: { register: '注册', change: '变更', message: '发送消息', task: '新建任务', start: '启动流程', issue: '发码', event: '记录事件' },
  form: {
    need: '必填', choose: '请选择', scanIt: '可直接扫码填入', required: '此项必填', number: '请填写数字', integer: '请填写整数', bounds: '应在 {min} 至 {max} {unit} 之间', boundsMin: '至少为 {min} {unit}', boundsMax: '至多为 {max} {unit}',
    length: '长度应为 {min} 至 {max} 个字符', lengthMin: '至少 {min} 个字符', lengthMax: '至多 {max} 个字符', pattern: '格式不符合要求',
  },
  tasks: {
    title: '我的任务', none: '没有待办任务', noneText: '流程派给您所在角色的任务会出现在这里。', take: '领取', done: '完成', giveBack: '退回', by: '领取人：{by}', due: '期限', late: '已超期', mine: '我领取的', open: '待领取', note: '备注', more: '更多', go: '去执行', state: { open: '待领取', taken: '处理中', done: '已完成' },
  },
  queue: {
    title: '扫码记录', none: '本机还没有扫码记录', noneText: '每次扫码先保存在本机，再发送到节点；离线时在此等待。', send: '立即发送', waiting: '待发送', look: '需要处理', done: '已完成', others: '另有 {n} 条由其他用户扫描：须由其本人登录后发送。',
    login: '登录已过期：重新登录后继续发送，记录不会丢失。', loginGo: '去登录', fault: '上次发送失败：{why}', seen: '知道了', drop: '删除', dropped: '已删除', undo: '撤销', fill: '填写', at: '扫描于', answered: '受理于', tries: '已尝试 {n} 次', conflict: '与他人操作冲突', clear: '清除已完成记录',
    ahead: '本机时钟快 {s}', behind: '本机时钟慢 {s}', clock: '扫描时间由节点自动校正；请校准本机时钟。', unkept: '浏览器无法保存数据（{why}）：离线扫码不可用，请退出无痕模式或清理空间。', sec: '{n} 秒', min: '{n} 分钟', hour: '{n} 小时',
  },
  settings: {
    title: '设置', device: '设备名称', deviceHint: '记入每次扫码的流水', where: '所在地点的标识', whereHint: '如 88.118.1001/LINE-1，可扫码填入；留空则不记录', beep: '提示音', vibrate: '振动', continuous: '连续扫码', continuousHint: '受理后自动扫下一个', test: '试一下', theme: '深色显示', language: 'English', user: '当前用户', logout: '退出登录', logoutWaits: '还有 {n} 条扫码未发送。退出后保存在本机，您再次登录时发送。确定退出？',
  },
  look: { title: '查码', hint: '扫任意企业的码，查看它是什么。' },
}

export const en: typeof zh = {
  title: 'Scan by phone', menu: 'Scan by phone', back: 'Back', home: 'Desk version', nav: 'Phone navigation',
  online: 'Online', offline: 'Offline', sending: 'Sending', waits: '{n} to send', toSee: '{n} to look at',
  start: {
    choose: 'What is to be done?', any: 'Scan anything', anyHint: 'The code says what is to be done', look: 'Look a code up', lookHint: 'What it is, and who vouches for it', login: 'Log in to work', loginHint: 'Then you can scan by flows and do tasks',
    none: 'No flow for you', noneText: 'Ask an administrator to install a solution and to give you a role in it.', old: 'The node cannot be reached: these are the flows of last time, and scans are kept on this device.', install: 'Install on this phone', installHint: 'Opens without network, full screen', tasks: 'My tasks',
  },
  scan: {
    title: 'Scan', camera: 'Camera', scanner: 'Scanner', hand: 'By hand', mode: 'Input', anything: 'Anything',
    aim: 'Aim at a barcode', wedge: 'Press the scan key', wedgeHint: 'Set the scanner to keyboard mode, English input, Enter at the end', code: 'What the code says', enter: 'OK', go: 'Send', next: 'Scan the next', again: 'Scan again', busy: 'Working…',
    continuous: 'Continuous', run: 'At work on {about}', leave: 'Another one', finish: 'Done', look: 'See where it stands', undo: 'Take this flow back', undoSure: 'All that the steps of this flow did and can be undone is undone. Take it back?', undone: 'Taken back', undoWhy: 'Taken back on the spot',
    same: 'More of the same', fresh: 'A new one', held: 'It is held: an administrator must let it go on first.', openRun: 'Show the run', ended: 'This flow is done', cancel: 'Cancel', keep: 'Go on',
  },
  camera: {
    picture: 'The camera’s picture', torch: 'Light', other: 'Other camera', asking: 'Opening the camera…', refused: 'The camera is not allowed', refusedCure: 'Allow the camera in the browser’s settings for this site, or use a scanner or your hands.',
    none: 'There is no camera', noneCure: 'Use a scanner, or enter the code by hand.', insecure: 'This connection is not secure', insecureCure: 'Cameras need HTTPS: go to the https:// address, or use a scanner or your hands.', failed: 'The camera cannot be used', failedCure: 'Another application may be using it: close that and try again.',
  },
  verdict: {
    passed: 'Passed', warned: 'Mind', asking: 'Fill in', refused: 'Refused', diverted: 'Diverted', stopped: 'Stopped', kept: 'Kept, to be sent', error: 'Not taken', keptSay: 'The node cannot be reached. The scan is kept on this device, and sent in order as soon as there is a network.',
    because: 'Stopped because: ', why: 'Why', effects: '{n} things done', soon: 'in a moment', duplicate: 'sent before: nothing was done again', true: 'holds', false: 'does not hold',
  },
  effect: { register: 'Registered', change: 'Changed', message: 'Message', task: 'Task', start: 'Flow begun', issue: 'Codes issued', event: 'Event recorded' },
  form: {
    need: 'Must be filled in', choose: 'Choose', scanIt: 'Can be scanned', required: 'This must be filled in', number: 'Enter a number', integer: 'Enter a whole number', bounds: 'From {min} to {max} {unit}', boundsMin: 'At least {min} {unit}', boundsMax: 'At most {max} {unit}',
    length: '{min} to {max} characters', lengthMin: 'At least {min} characters', lengthMax: 'At most {max} characters', pattern: 'This does not have the form that is wanted',
  },
  tasks: {
    title: 'My tasks', none: 'No tasks', noneText: 'Tasks that flows have for your roles appear here.', take: 'Take', done: 'Done', giveBack: 'Give back', by: 'Taken by {by}', due: 'Due', late: 'late', mine: 'Mine', open: 'Open', note: 'Note', more: 'More', go: 'Do it', state: { open: 'open', taken: 'taken', done: 'done' },
  },
  queue: {
    title: 'Scans', none: 'No scans on this device yet', noneText: 'Each scan is kept here first and then sent; without network it waits here.', send: 'Send now', waiting: 'To be sent', look: 'To be looked at', done: 'Done', others: '{n} more were scanned by somebody else, who must log in to send them.',
    login: 'Your session is over: log in again and sending goes on. Nothing is lost.', loginGo: 'Log in', fault: 'Sending failed: {why}', seen: 'Understood', drop: 'Delete', dropped: 'Deleted', undo: 'Undo', fill: 'Fill in', at: 'Scanned', answered: 'Taken', tries: 'tried {n} times', conflict: 'Somebody else was first', clear: 'Clear what is done',
    ahead: 'This device’s clock is {s} fast', behind: 'This device’s clock is {s} slow', clock: 'The node puts the times of scans right; set the clock.', unkept: 'The browser keeps nothing ({why}): no scanning without network. Leave the private window, or make room.', sec: '{n} s', min: '{n} min', hour: '{n} h',
  },
  settings: {
    title: 'Settings', device: 'Name of this device', deviceHint: 'Stands in the journal of each scan', where: 'Identifier of the place', whereHint: 'As 88.118.1001/LINE-1; may be scanned; empty: no place', beep: 'Sounds', vibrate: 'Vibration', continuous: 'Continuous scanning', continuousHint: 'On to the next as soon as one is taken', test: 'Try', theme: 'Dark screen', language: '中文', user: 'User', logout: 'Log out', logoutWaits: '{n} scans are not sent yet. They stay on this device until you log in again. Log out?',
  },
  look: { title: 'Look up', hint: 'Scan a code of any enterprise and see what it is.' },
}
