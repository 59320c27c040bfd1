/** What the shell says; each area brings its own words. */
export const shell = {
  zh: {
    product: '符节 Fujie', skip: '跳到正文', menu: '菜单', openMenu: '打开菜单', language: 'English', languageLabel: '切换语言 Switch to English',
    theme: '主题', themes: { auto: '跟随系统', light: '浅色', dark: '深色' }, login1: '登录', logout: '退出登录', logoutAll: '退出所有会话', myAccount: '我的账户',
    retry: '重试', copy: '复制 {what}', copyShort: '复制', copied: '已复制', undo: '撤销', undone: '已撤销', list: '列表', loading: '正在读取…', nothing: '这里还没有内容', pages: '翻页', firstPage: '首页', before: '上一页', after: '下一页', pageNo: '第 {n} 页',
    unreachable: '连不上节点', unreachableText: '页面已打开，但节点没有回答。请检查网络与节点状态后重试。', over: '会话已结束，请重新登录',
    groups: { work: '现场作业', data: '标识与数据', trace: '追溯', access: '权限与审计', operate: '运营', public: '公共' },
    roles: { operator: '运营者', reviewer: '审核员', 'enterprise-admin': '企业管理员', 'enterprise-user': '企业用户', application: '应用', auditor: '审计员', regulator: '监管' },
    nodeRoles: { root: '根节点', national: '国家顶级节点', 'second-level': '二级节点', enterprise: '企业节点', recursive: '递归节点' },
    home: {
      title: '首页', enter: '查标识', enterHint: '输入或扫描任意企业的标识、一物一码或条码内容，即可看到它是什么、由谁担保。', code: '标识或条码内容', look: '查询', scan: '扫一扫',
      bad: '请输入形如 88.118.1001/ENG-42 的标识，或条码中的内容', about: '本节点', role: '角色', prefix: '前缀', version: '版本',
      first: '从这里开始', loginFirst: '登录后可注册标识、处理工单、查看追溯与指标。', docs: '接口文档', publicPage: '公共查询页',
    },
    login: {
      title: '登录', hint: '使用本节点的账户登录。连续输错会逐次延长等待。', user: '用户名', userHint: '如 admin，或完整标识 88.118.1001/User_admin', password: '口令', code: '动态口令或恢复码', codeHint: '此账户已开启动态口令', submit: '登录', second: '验证',
      passkey: '使用通行密钥', elsewhere: '通过 {name} 登录', insecure: '登录须经 HTTPS：同一端口即可。', goSecure: '切换到 HTTPS', need: '请填写用户名和口令', cancelled: '已取消通行密钥登录', pending: '正在登录…',
    },
    invitation: { title: '接受邀请', hint: '设定口令后即可登录。邀请码七天内有效。', code: '邀请码', password: '新口令（10 至 256 个字符）', again: '再次输入新口令', differ: '两次输入的口令不一致', submit: '设定口令', done: '口令已设定，请登录' },
    account: {
      title: '我的账户', hint: '口令、动态口令与通行密钥。', roles: '角色', at: '{role}，前缀 {prefix} 及其下级', none: '未被授予角色', noAccount: '您以密钥身份访问，没有可管理的账户。',
      password: '修改口令', old: '当前口令', new: '新口令（10 至 256 个字符）', change: '修改并退出所有会话', changed: '口令已修改，请重新登录',
      totp: '动态口令', totpOn: '已开启，剩余恢复码 {n} 个', totpOff: '未开启', totpBegin: '开启', totpScan: '在身份验证器中添加此密钥，再输入它显示的六位数字：', totpConfirm: '确认', totpRemove: '关闭', totpCode: '六位数字', recovery: '请妥善保存这些恢复码，仅显示一次：',
      passkeys: '通行密钥', passkeysNone: '尚无通行密钥：用指纹、面容或安全密钥登录，无须输入口令。', add: '添加通行密钥', passkeyName: '名称（如“办公电脑”）', forget: '删除', made: '添加于', providers: '外部登录', elsewhere: '退出所有会话',
    },
    lost: { title: '没有这个页面', text: '地址可能输错，或您没有权限查看。', home: '回首页' },
  },
  en: {
    product: '符节 Fujie', skip: 'Skip to content', menu: 'Menu', openMenu: 'Open the menu', language: '中文', languageLabel: '切换到中文 Switch to Chinese',
    theme: 'Theme', themes: { auto: 'As the system', light: 'Light', dark: 'Dark' }, login1: 'Log in', logout: 'Log out', logoutAll: 'End all sessions', myAccount: 'My account',
    retry: 'Try again', copy: 'Copy {what}', copyShort: 'Copy', copied: 'Copied', undo: 'Undo', undone: 'Taken back', list: 'List', loading: 'Reading…', nothing: 'Nothing here yet', pages: 'Pages', firstPage: 'First page', before: 'Previous', after: 'Next', pageNo: 'Page {n}',
    unreachable: 'The node cannot be reached', unreachableText: 'This page is open, but the node does not answer. Check the network and the node, then try again.', over: 'The session is over: log in again',
    groups: { work: 'Work', data: 'Identifiers and data', trace: 'Traceability', access: 'Access and audit', operate: 'Operation', public: 'Public' },
    roles: { operator: 'Operator', reviewer: 'Reviewer', 'enterprise-admin': 'Enterprise administrator', 'enterprise-user': 'Enterprise user', application: 'Application', auditor: 'Auditor', regulator: 'Regulator' },
    nodeRoles: { root: 'Root node', national: 'National top-level node', 'second-level': 'Second-level node', enterprise: 'Enterprise node', recursive: 'Recursive node' },
    home: {
      title: 'Home', enter: 'Look something up', enterHint: 'Enter or scan an identifier of any enterprise, or what a barcode holds, and see what it is and who vouches for it.', code: 'Identifier or barcode content', look: 'Look up', scan: 'Scan',
      bad: 'Enter an identifier such as 88.118.1001/ENG-42, or what stands in the barcode', about: 'This node', role: 'Role', prefix: 'Prefix', version: 'Version',
      first: 'Begin here', loginFirst: 'Log in to register identifiers, do your tasks, and see traces and figures.', docs: 'Interface', publicPage: 'Public page',
    },
    login: {
      title: 'Log in', hint: 'With your account at this node. Wrong attempts make the next one wait longer.', user: 'User', userHint: 'admin, or the whole identifier: 88.118.1001/User_admin', password: 'Password', code: 'One-time or recovery code', codeHint: 'This account has one-time codes', submit: 'Log in', second: 'Verify',
      passkey: 'Use a passkey', elsewhere: 'Log in with {name}', insecure: 'Logging in needs HTTPS; the same port takes it.', goSecure: 'Go to HTTPS', need: 'Enter a user and a password', cancelled: 'The passkey was not used', pending: 'Logging in…',
    },
    invitation: { title: 'Accept an invitation', hint: 'Set a password and log in. An invitation holds for seven days.', code: 'Invitation', password: 'New password (10 to 256 characters)', again: 'New password once more', differ: 'The two passwords differ', submit: 'Set the password', done: 'The password is set: log in' },
    account: {
      title: 'My account', hint: 'Password, one-time codes and passkeys.', roles: 'Roles', at: '{role} of {prefix} and below', none: 'No roles were given', noAccount: 'You are here by a key: there is no account to manage.',
      password: 'Change the password', old: 'Present password', new: 'New password (10 to 256 characters)', change: 'Change, and end all sessions', changed: 'The password is changed: log in again',
      totp: 'One-time codes', totpOn: 'On; {n} recovery codes left', totpOff: 'Off', totpBegin: 'Turn on', totpScan: 'Add this key to an authenticator, then enter the six digits it shows:', totpConfirm: 'Confirm', totpRemove: 'Turn off', totpCode: 'Six digits', recovery: 'Keep these recovery codes; they are shown once:',
      passkeys: 'Passkeys', passkeysNone: 'None yet: log in by fingerprint, face or security key, without a password.', add: 'Add a passkey', passkeyName: 'Name (such as “office computer”)', forget: 'Remove', made: 'Added', providers: 'Log-in elsewhere', elsewhere: 'End all sessions',
    },
    lost: { title: 'No such page', text: 'The address may be wrong, or it is not for you to see.', home: 'Home' },
  },
}
