#include "planner/row_work.h"

#include <cmath>

namespace tandem::planner {
namespace {

RowElems head_elems(const ModelInput& model) {
  const double width = model.hyper.width;
  const double vocab = model.hyper.vocab;
  RowElems elems;
  elems.norms = 2 * width;
  elems.inputs = width;
  elems.outputs = vocab;
  elems.logits = model.hyper.final_softcap > 0 ? vocab : 0;
  return elems;
}

double elems_us(double elems, double g_per_s) {
  return g_per_s > 0 ? elems / (g_per_s * 1e3) : 0;
}

}  // namespace

RowElems row_elems(const ModelInput& model, UnitRef unit) {
  if (unit.kind == UnitKind::head) return head_elems(model);
  const auto& layer = model.hyper.layers[unit.layer];
  const double width = model.hyper.width;
  RowElems elems;
  elems.norms = 4 * width;
  if (unit.kind == UnitKind::ffn) {
    const double ffn_width = layer.ffn_width;
    elems.geglu = ffn_width;
    elems.inputs = width + ffn_width;
    elems.outputs = 2 * ffn_width + width;
    return elems;
  }
  const double queries = double{1} * layer.heads * layer.head_dim;
  const double keys = double{1} * layer.kv_heads * layer.head_dim;
  elems.heads_begun = layer.heads + 2.0 * layer.kv_heads;
  elems.heads = 2 * queries + 2 * keys;
  elems.inputs = width + queries;
  elems.outputs = queries + (layer.has_v ? 2 : 1) * keys + width;
  return elems;
}

double row_work_us(const RowElems& elems, const ElementRates& rates, double rows, double threads) {
  const auto waited_rows = threads > 0 ? std::ceil(rows / threads) * threads : rows;
  return waited_rows * elems_us(elems.norms, rates.norms_g_per_s) +
         rows *
             (elems_us(elems.heads, rates.heads_g_per_s) +
              elems_us(elems.heads_begun, rates.heads_begun_g_per_s) +
              elems_us(elems.geglu, rates.geglu_g_per_s) + elems_us(elems.inputs, rates.inputs_g_per_s) +
              elems_us(elems.outputs, rates.outputs_g_per_s) + elems_us(elems.logits, rates.logits_g_per_s));
}

}  // namespace tandem::planner
