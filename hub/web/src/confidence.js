// Whether the model knows a photograph: as `confidence_of` of confidence_pm_vit.py, which travels with the weights.
const SCORES = {
  max_probability: ({ probability }) => probability,
  certainty: ({ scores }) => {
    const total = scores.reduce((sum, score) => sum + score, 0);
    const entropy = scores.reduce((sum, score) => (score > 0 ? sum - (score / total) * Math.log(score / total) : sum), 0);
    return 1 - entropy / Math.log(Math.max(2, scores.length));
  },
  energy: ({ logits }) => {
    const highest = Math.max(...logits);
    return highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  },
  seen: ({ seen }) => seen,
  named_and_seen: ({ probability, seen }) => probability * seen,
  mahalanobis: ({ distance }) => -distance,
  nearest_neighbours: ({ distance }) => -distance,
};
const TEXTS = {
  unsure: "The model does not know this photograph: its confidence is below the threshold that was stored with it.",
  "seen nowhere": "Doubtful: a class is named, but seen nowhere in the photograph.",
};

/** "unsure", "seen nowhere" or null, for what `explain` of model.js returns. Models that were not calibrated never doubt. */
export function doubtOf(model, { logits, scores, masks, rows, columns, distance }) {
  if (model.confidence_threshold == null) return null;
  const top = logits.indexOf(Math.max(...logits));
  const probability = scores[top];
  const isEmpty = (model.empty_classes ?? []).includes(model.labels[top]);
  const map = masks.subarray(top * rows * columns, (top + 1) * rows * columns);
  const seen = isEmpty ? 1 : map.reduce((highest, value) => Math.max(highest, value), 0);
  if (SCORES[model.confidence_score]({ logits, scores, probability, seen, distance }) < model.confidence_threshold) return "unsure";
  return probability >= 0.5 && seen < 0.5 ? "seen nowhere" : null;
}

export const textOf = (doubt) => TEXTS[doubt] ?? "";
