// The parts of ECharts that indicators use, and no others.
import { BarChart, LineChart } from 'echarts/charts'
import { GridComponent, MarkLineComponent, TooltipComponent } from 'echarts/components'
import { init as begin, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

use([LineChart, BarChart, GridComponent, TooltipComponent, MarkLineComponent, SVGRenderer])

export function init(at: HTMLElement) {
  return begin(at, undefined, { renderer: 'svg' })
}
