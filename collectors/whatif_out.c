/* whatif_out: the table of metrics. One line here is a column of the results and a key of the JSON.
 */
#include "collectors/whatif_out.h"

#include <math.h>

static double ratio(double a, double b)
{
	return b > 0 ? a / b : NAN;
}

static double lines(const struct whatif_result *r, int owner, bool writes)
{
	double n = 0;

	for (int k = 0; k < LLC_KINDS; k++)
		n += (double)(writes ? r->count[owner][k].writes : r->count[owner][k].reads);
	return n * r->line;
}

static double per_net(const struct whatif_result *r, double bytes)
{
	return ratio(bytes, (double)r->net_bytes);
}

static double per_s(const struct whatif_result *r, double bytes)
{
	return ratio(bytes * 8, (double)r->span_ns); /* Gb/s */
}

static double hit(const struct whatif_result *r, enum llc_kind k)
{
	const struct llc_count *n = &r->count[WHATIF_BUFFERS][k];

	return 100 * ratio((double)n->hits, (double)n->lines);
}

static double net_gbps(const struct whatif_result *r)
{
	return per_s(r, (double)r->net_bytes);
}

static double all(const struct whatif_result *r, bool writes)
{
	return lines(r, WHATIF_BUFFERS, writes) + lines(r, WHATIF_STATE, writes);
}

static double read_per_net(const struct whatif_result *r)
{
	return per_net(r, all(r, false));
}

static double write_per_net(const struct whatif_result *r)
{
	return per_net(r, all(r, true));
}

static double buf_read_per_net(const struct whatif_result *r)
{
	return per_net(r, lines(r, WHATIF_BUFFERS, false));
}

static double buf_write_per_net(const struct whatif_result *r)
{
	return per_net(r, lines(r, WHATIF_BUFFERS, true));
}

static double state_per_net(const struct whatif_result *r)
{
	return per_net(r, lines(r, WHATIF_STATE, false) + lines(r, WHATIF_STATE, true));
}

static double read_gbps(const struct whatif_result *r)
{
	return per_s(r, all(r, false));
}

static double write_gbps(const struct whatif_result *r)
{
	return per_s(r, all(r, true));
}

static double hit_dma_in(const struct whatif_result *r)
{
	return hit(r, LLC_DMA_IN);
}

static double hit_cpu_read(const struct whatif_result *r)
{
	return hit(r, LLC_READ);
}

static double hit_cpu_write(const struct whatif_result *r)
{
	return hit(r, LLC_WRITE);
}

static double hit_dma_out(const struct whatif_result *r)
{
	return hit(r, LLC_DMA_OUT);
}

static double hit_state(const struct whatif_result *r)
{
	const struct llc_count *n = r->count[WHATIF_STATE];

	return 100 * ratio((double)n[LLC_READ].hits, (double)n[LLC_READ].lines);
}

static double disk_per_net(const struct whatif_result *r)
{
	return per_net(r, (double)r->disk_bytes);
}

/* What only the model knows; a trace has no pool. */
static double only_model(const struct whatif_result *r, double v)
{
	return r->buffers ? v : NAN;
}

static double stolen_per_s(const struct whatif_result *r)
{
	return only_model(r, ratio((double)r->stolen * 1e9, (double)r->span_ns));
}

static double reading(const struct whatif_result *r)
{
	return r->reading_mean;
}

static double busy(const struct whatif_result *r)
{
	return only_model(r, r->busy_mean);
}

static double busy_max(const struct whatif_result *r)
{
	return only_model(r, (double)r->busy_max);
}

static double used(const struct whatif_result *r)
{
	return (double)r->buffers_used;
}

const struct whatif_metric whatif_metrics[] = {
	{"net_gbps", "Gb/s", "bytes handed to the network; below the load: disk or I/O window",
	 net_gbps},
	{"mem_read_per_net_byte", "", "DRAM bytes read per network byte", read_per_net},
	{"mem_write_per_net_byte", "", "DRAM bytes written per network byte", write_per_net},
	{"buf_read_per_net_byte", "", "of it because of I/O buffers", buf_read_per_net},
	{"buf_write_per_net_byte", "", "of it because of I/O buffers", buf_write_per_net},
	{"state_mem_per_net_byte", "", "reads and writes because of connections' state",
	 state_per_net},
	{"mem_read_gbps", "Gb/s", "DRAM read", read_gbps},
	{"mem_write_gbps", "Gb/s", "DRAM written", write_gbps},
	{"dma_in_hit_pct", "%", "disk data that found its lines cached", hit_dma_in},
	{"cpu_read_hit_pct", "%", "sealing that found the data cached", hit_cpu_read},
	{"cpu_write_hit_pct", "%", "the same, storing", hit_cpu_write},
	{"dma_out_hit_pct", "%", "transmission that found the data cached", hit_dma_out},
	{"state_hit_pct", "%", "connections' state found cached", hit_state},
	{"disk_read_per_net_byte", "", "above 1: records read again", disk_per_net},
	{"stolen_per_s", "1/s", "held buffers taken away", stolen_per_s},
	{"reading_mean", "", "reads outstanding", reading},
	{"busy_mean", "", "buffers not free", busy},
	{"busy_max", "", "the same, most", busy_max},
	{"buffers_used", "", "different buffers used", used},
};
const int whatif_metrics_n = sizeof whatif_metrics / sizeof *whatif_metrics;

static json_t *cfg_json(const struct whatif_cfg *c)
{
	json_t *j = json_object();
	char text[64];

	for (int i = 0; i < whatif_params_n; i++)
		json_object_set_new(j, whatif_params[i].name,
				    json_string(whatif_text(c, i, text, sizeof text)));
	return j;
}

json_t *whatif_json(const struct whatif_cfg *c, const struct whatif_result *r, const char *trace)
{
	json_t *j = json_object(), *touches = json_object();

	json_object_set_new(j, "simulated", json_true());
	json_object_set_new(j, "source", json_string(trace ? "trace" : "model"));
	if (trace)
		json_object_set_new(j, "trace", json_string(trace));
	json_object_set_new(j, "config", cfg_json(c));
	json_object_set_new(j, "net_bytes", json_integer((json_int_t)r->net_bytes));
	json_object_set_new(j, "disk_bytes", json_integer((json_int_t)r->disk_bytes));
	json_object_set_new(j, "warm_bytes", json_integer((json_int_t)r->warm_bytes));
	json_object_set_new(j, "span_s", json_real((double)r->span_ns / 1e9));
	for (int i = 0; i < whatif_metrics_n; i++) {
		double v = whatif_metrics[i].get(r);

		json_object_set_new(j, whatif_metrics[i].name,
				    isfinite(v) ? json_real(v) : json_null());
	}
	for (int k = 0; k < LLC_KINDS; k++) {
		const struct llc_count *n = &r->count[WHATIF_BUFFERS][k];

		if (n->lines)
			json_object_set_new(touches, llc_kind_name[k],
					    json_pack("{s:I, s:I, s:I, s:I}", "lines",
						      (json_int_t)n->lines, "hits",
						      (json_int_t)n->hits, "dram_reads",
						      (json_int_t)n->reads, "dram_writes",
						      (json_int_t)n->writes));
	}
	json_object_set_new(j, "buffer_touches", touches);
	return j;
}
