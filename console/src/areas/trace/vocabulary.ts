// The words of CBV 2.0 for steps, dispositions and sources, in plain words of both languages.
type Pair = [zh: string, en: string]

export const steps: Record<string, Pair> = {
  accepting: ['验收', 'accepting'], arriving: ['到达', 'arriving'], assembling: ['装配', 'assembling'], collecting: ['收集', 'collecting'], commissioning: ['赋码启用', 'commissioning'],
  consigning: ['托运', 'consigning'], creating_class_instance: ['生成批次', 'creating a lot'], cycle_counting: ['循环盘点', 'cycle counting'], decommissioning: ['注销标识', 'decommissioning'],
  departing: ['离开', 'departing'], destroying: ['销毁', 'destroying'], disassembling: ['拆卸', 'disassembling'], dispensing: ['发放', 'dispensing'], encoding: ['写码', 'encoding'],
  entering_exiting: ['进出', 'entering or leaving'], holding: ['暂扣', 'holding'], inspecting: ['检验', 'inspecting'], installing: ['安装', 'installing'], killing: ['失效标签', 'killing a tag'],
  loading: ['装车', 'loading'], other: ['其他', 'other'], packing: ['装箱', 'packing'], picking: ['拣货', 'picking'], receiving: ['收货', 'receiving'], removing: ['移除', 'removing'],
  repackaging: ['重新包装', 'repackaging'], repairing: ['维修', 'repairing'], replacing: ['更换', 'replacing'], reserving: ['预留', 'reserving'], retail_selling: ['零售', 'retail selling'],
  sampling: ['抽样', 'sampling'], sensor_reporting: ['传感上报', 'sensor reporting'], shipping: ['发货', 'shipping'], staging_outbound: ['待发', 'staging'], stock_taking: ['盘点', 'stock taking'],
  stocking: ['上架', 'stocking'], storing: ['入库存放', 'storing'], transporting: ['运输', 'transporting'], unloading: ['卸车', 'unloading'], unpacking: ['拆箱', 'unpacking'], void_shipping: ['撤销发货', 'void shipping'],
}
export const dispositions: Record<string, Pair> = {
  active: ['已启用', 'active'], available: ['可用', 'available'], completeness_inferred: ['推断齐全', 'completeness inferred'], completeness_verified: ['已核实齐全', 'completeness verified'],
  conformant: ['合格', 'conformant'], container_closed: ['容器已封', 'container closed'], container_open: ['容器已开', 'container open'], damaged: ['损坏', 'damaged'], destroyed: ['已销毁', 'destroyed'],
  dispensed: ['已发放', 'dispensed'], disposed: ['已处置', 'disposed of'], encoded: ['已写码', 'encoded'], expired: ['过期', 'expired'], in_progress: ['处理中', 'in progress'], in_transit: ['在途', 'in transit'],
  inactive: ['未启用', 'inactive'], mismatch_class: ['品类不符', 'class mismatch'], mismatch_instance: ['个体不符', 'instance mismatch'], mismatch_quantity: ['数量不符', 'quantity mismatch'],
  needs_replacement: ['需更换', 'needs replacement'], no_pedigree_match: ['来源不符', 'no pedigree match'], non_conformant: ['不合格', 'not conformant'], non_sellable_other: ['不可售', 'not sellable'],
  partially_dispensed: ['部分发放', 'partially dispensed'], recalled: ['已召回', 'recalled'], reserved: ['已预留', 'reserved'], retail_sold: ['已零售', 'sold'], returned: ['已退回', 'returned'],
  sellable_accessible: ['在售（可取）', 'for sale'], sellable_not_accessible: ['在售（不可取）', 'for sale, not accessible'], stolen: ['被盗', 'stolen'], unavailable: ['不可用', 'unavailable'], unknown: ['未知', 'unknown'],
}
export const types: Record<string, Pair> = {
  ObjectEvent: ['观察', 'Observation'], AggregationEvent: ['包装', 'Packing'], TransactionEvent: ['交易', 'Transaction'], TransformationEvent: ['加工转换', 'Transformation'], AssociationEvent: ['装配关联', 'Assembly'],
}
export const parties: Record<string, Pair> = {
  owning_party: ['所有方', 'owner'], possessing_party: ['持有方', 'holder'], location: ['地点', 'place'],
}

/** The bare word of a CBV name, however it is written: shipping, urn:epcglobal:cbv:bizstep:shipping, https://ref.gs1.org/cbv/BizStep-shipping. */
export function bare(x: string): string {
  const m = /^(?:urn:epcglobal:cbv:[a-z]+:|https?:\/\/(?:ref\.gs1\.org|ns\.gs1\.org)\/cbv\/[A-Za-z]+-|cbv:[A-Za-z]+-)(.+)$/.exec(x)
  return m ? m[1]! : x
}

export function word(table: Record<string, Pair>, x: string | undefined, language: 'zh' | 'en'): string {
  if (!x) return ''
  const p = table[bare(x)]
  return p ? p[language === 'zh' ? 0 : 1] : x
}

const units: Record<string, Pair> = { KGM: ['千克', 'kg'], GRM: ['克', 'g'], TNE: ['吨', 't'], LTR: ['升', 'l'], MLT: ['毫升', 'ml'], MTR: ['米', 'm'], MTK: ['平方米', 'm²'], CEL: ['℃', '°C'], Cel: ['℃', '°C'], H87: ['件', 'pieces'], EA: ['件', 'pieces'], P1: ['%', '%'] }

/** A quantity with its unit of UN/CEFACT Recommendation 20; without a unit it is a count. */
export function amount(n: string | number | undefined, unit: string | undefined, language: 'zh' | 'en'): string {
  if (n === undefined || n === '') return ''
  const u = unit ? (units[unit]?.[language === 'zh' ? 0 : 1] ?? unit) : language === 'zh' ? '件' : ''
  return u ? `${n} ${u}` : String(n)
}
