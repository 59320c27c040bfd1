/** Provinces by their code of GB/T 2260, in a grid that keeps who lies beside whom: a picture of the country that draws no border. */
export interface Tile { code: string; zh: string; en: string; x: number; y: number }

const rows: [string, string, string, number, number][] = [
  ['230000', '黑龙江', 'Heilongjiang', 9, 0],
  ['150000', '内蒙古', 'Inner Mongolia', 6, 1], ['220000', '吉林', 'Jilin', 9, 1],
  ['650000', '新疆', 'Xinjiang', 0, 2], ['620000', '甘肃', 'Gansu', 3, 2], ['110000', '北京', 'Beijing', 7, 2], ['210000', '辽宁', 'Liaoning', 9, 2],
  ['540000', '西藏', 'Tibet', 1, 4], ['630000', '青海', 'Qinghai', 2, 3], ['640000', '宁夏', 'Ningxia', 4, 3], ['140000', '山西', 'Shanxi', 6, 3], ['130000', '河北', 'Hebei', 7, 3], ['120000', '天津', 'Tianjin', 8, 3],
  ['610000', '陕西', 'Shaanxi', 5, 3], ['410000', '河南', 'Henan', 6, 4], ['370000', '山东', 'Shandong', 8, 4], ['320000', '江苏', 'Jiangsu', 8, 5], ['310000', '上海', 'Shanghai', 9, 5],
  ['510000', '四川', 'Sichuan', 3, 5], ['500000', '重庆', 'Chongqing', 4, 5], ['420000', '湖北', 'Hubei', 6, 5], ['340000', '安徽', 'Anhui', 7, 5],
  ['530000', '云南', 'Yunnan', 3, 7], ['520000', '贵州', 'Guizhou', 4, 6], ['430000', '湖南', 'Hunan', 5, 6], ['360000', '江西', 'Jiangxi', 6, 6], ['330000', '浙江', 'Zhejiang', 8, 6], ['350000', '福建', 'Fujian', 7, 7],
  ['450000', '广西', 'Guangxi', 5, 7], ['440000', '广东', 'Guangdong', 6, 7], ['710000', '台湾', 'Taiwan', 8, 7], ['810000', '香港', 'Hong Kong', 6, 8], ['820000', '澳门', 'Macao', 5, 8], ['460000', '海南', 'Hainan', 4, 9],
]
export const tiles: Tile[] = rows.map(([code, zh, en, x, y]) => ({ code, zh, en, x, y }))
export const columns = 10
export const lines = 10
const byCode = new Map(tiles.map((t) => [t.code, t]))

/** nameOf says a region in words; an unknown one stands as its code. */
export function nameOf(code: string, zh: boolean): string {
  const t = byCode.get(code)
  return t ? (zh ? t.zh : t.en) : code
}

/** shade is 0 to 4: how much of the most something is, by powers, so that one large province does not make all others look empty. */
export function shade(n: number, most: number): number {
  if (n <= 0 || most <= 0) return 0
  return Math.max(1, Math.min(4, Math.ceil(4 * (n / most) ** 0.35)))
}
