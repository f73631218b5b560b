package workspace

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/appliance/plugin"
)

// The size of a chart's picture, in units of its view box.
const (
	chartWidth, chartHeight = 640.0, 220.0
	chartStart, chartEnd    = 52.0, 8.0  // room for the numbers of the scale, and beside the last label
	chartTop, chartBottom   = 10.0, 26.0 // above the highest value, and for the labels
	labelRoom               = 64.0       // that a label needs
)

// drawing is a chart as shapes.
type drawing struct {
	Box   string
	Grid  []segment
	Bars  []bar
	Lines []polyline
	Texts []chartText
}

type (
	segment   struct{ X1, Y1, X2, Y2 string }
	bar       struct{ Class, X, Y, Width, Height string }
	polyline  struct{ Class, Points string }
	chartText struct{ Class, X, Y, Text string }
)

func seriesClass(i int) string { return fmt.Sprint("series-", i%6+1) }

func num(x float64) string { return fmt.Sprintf("%.1f", x) }

// drawChart lays a chart out. Its scale begins at zero, or below where values are.
func drawChart(v frame.View, c plugin.Chart) drawing {
	d := drawing{Box: fmt.Sprintf("0 0 %.0f %.0f", chartWidth, chartHeight)}
	low, high := 0.0, 0.0
	for _, s := range c.Series {
		for _, value := range s.Values {
			low, high = math.Min(low, value), math.Max(high, value)
		}
	}
	step := niceStep(high - low)
	low, high = math.Floor(low/step)*step, math.Ceil(high/step)*step
	if high == low {
		high = low + step
	}
	y := func(value float64) float64 {
		return chartTop + (chartHeight-chartTop-chartBottom)*(high-value)/(high-low)
	}
	for at := low; at <= high+step/2; at += step {
		d.Grid = append(d.Grid, segment{num(chartStart), num(y(at)), num(chartWidth - chartEnd), num(y(at))})
		d.Texts = append(d.Texts, chartText{"scale", num(chartStart - 6), num(y(at) + 4), v.Decimal(at)})
	}
	n := len(c.Labels)
	if n == 0 {
		return d
	}
	slot := (chartWidth - chartStart - chartEnd) / float64(n)
	every := int(math.Ceil(labelRoom / slot))
	for i, label := range c.Labels {
		if i%every == 0 {
			d.Texts = append(d.Texts, chartText{"label", num(chartStart + slot*(float64(i)+0.5)), num(chartHeight - 8), shortened(label, 12*every)})
		}
	}
	for k, s := range c.Series {
		if c.Lines {
			var points []string
			for i, value := range s.Values {
				points = append(points, num(chartStart+slot*(float64(i)+0.5))+","+num(y(value)))
			}
			d.Lines = append(d.Lines, polyline{seriesClass(k), strings.Join(points, " ")})
			continue
		}
		width := slot * 0.7 / float64(len(c.Series))
		for i, value := range s.Values {
			top, bottom := y(math.Max(value, 0)), y(math.Min(value, 0))
			d.Bars = append(d.Bars, bar{seriesClass(k), num(chartStart + slot*(float64(i)+0.15) + width*float64(k)), num(top), num(width), num(bottom - top)})
		}
	}
	return d
}

// niceStep is a step of 1, 2 or 5 times a power of ten that divides a span into about four.
func niceStep(span float64) float64 {
	if span <= 0 {
		return 1
	}
	rough := span / 4
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if rough <= m*power {
			return m * power
		}
	}
	return 10 * power
}

func shortened(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
