// The prose rules: each finds the places in one paragraph that break it.
import type { Prose } from "./read-prose.ts";

export interface Finding {
  readonly path: string;
  /** From 1; 0 means the name of the file. */
  readonly line: number;
  readonly rule: string;
  readonly excerpt: string;
  /** What to write instead. */
  readonly advice: string;
}

/** Words and turns that no native engineer writes, each with what to write instead. */
const words: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [/\btold\b/gi, "notified, published, logged, reported"],
  [/\bsays\b(?!:?,? ?["“'`])/gi, "reports, states, contains (says only quotes)"],
  [/\b(?:say|says|said) so\b/gi, "name the fact"],
  [/\b(?:whoever|whomever|whom)\b/gi, "name the component"],
  [/\banew\b/gi, "again, from scratch"],
  [/\b(?:stands?|stood)\b(?! (?:in )?for\b|-)/gi, "is, is stored"],
  [/\b(?:comes?|came|coming) (?:back )?to\b(?! life)/gi, "reaches, becomes, ends in"],
  [/(?<!\b(?:because|instead|out|ahead) )\bof it(?=$|[.,;:!?)])/gi, "name the thing"],
  [/\bin hand\b/gi, "in progress, unacknowledged"],
  [
    /\b(?:take|takes|took|taken|taking) (?:it |them )?(?:up(?! to)|in(?! (?:\d|order|turns)))\b/gi,
    "accept, adopt, handle",
  ],
  [/\bformer(?:ly)?\b/gi, "previous"],
  [/\bmeanwhile\b/gi, "while …, until then"],
  [
    /, as (?:[A-Z`]\S*|an? \w+ (?:does|do|would|is|that|whose)|in|on|with|over|under|by|after|what|one)\b/g,
    "for example, such as, because",
  ],
  [/\bso (?:many|much|long)\b(?! (?:that|as)\b)/gi, "the number, the time"],
  [/\b(?:is|are|was|were) to be\b/gi, "must be, will be"],
  [
    /\b(?:is|are|was|were|be) (?:tried|asked|looked at|looked for|made|done) again\b/gi,
    "is retried; retrying",
  ],
  [/\bcomes? again\b/gi, "is redelivered"],
  [/\bof (?:ours|theirs)\b/gi, "Greenroom's; name the owner"],
];

/** A sentence begins with a noun or a verb, not with a word that stands in for one. */
const OPENERS =
  /^(?:It|They|Who|What|That|So|One (?:that|which|who|whose|can|is|has|in|more|alone|may|must))\b/;
const FILE_OPENERS = /^(?:It|They|Who|What|That|So|One|How|Where|When|Whether|Why|Which|If)\b/;
/** Later sentences may point back with "It" and "That". */
const LATER_OPENERS = /^(?:Who|What|One (?:that|which|who|whose|can|is|has|may|must))\b/;

const MAX_WORDS = 25;

export function checkProse(path: string, prose: Prose): Finding[] {
  const text = prose.text.replaceAll("\n", " ");
  const found: Finding[] = [];
  const add = (rule: string, index: number, length: number, advice: string) =>
    found.push({
      path,
      line: prose.line + (prose.text.slice(0, index).match(/\n/g)?.length ?? 0),
      rule,
      excerpt: excerptOf(text, index, length),
      advice,
    });

  for (const [pattern, advice] of words) {
    for (const { 0: match, index } of text.matchAll(pattern)) add("word", index, match.length, advice);
  }
  if (prose.kind === "title" && !startsWithVerb(text)) {
    add("title", 0, text.length, "begin with a verb in the third person: rejects, returns, is");
  } else if (/^(?:title|group)$/.test(prose.kind) && /\bshould\b/i.test(text)) {
    add("title", 0, text.length, "state what is, without should");
  }
  for (const { sentence, index } of sentencesOf(text)) {
    if (opensBadly(prose, sentence, index === 0)) {
      add("opener", index, sentence.length, "subject, verb, object: begin with a noun or an imperative");
    }
    const count = sentence.split(/\s+/).filter((word) => /\w/.test(word)).length;
    if (count > MAX_WORDS) add("long", index, sentence.length, `${count} words: ${MAX_WORDS} at most`);
    if ((sentence.match(/;/g)?.length ?? 0) > 1)
      add("semicolons", index, sentence.length, "one idea a sentence");
  }
  return found;
}

function opensBadly({ kind, opensFile }: Prose, sentence: string, isFirst: boolean): boolean {
  if (kind === "heading" || sentence.endsWith("?")) return false;
  if (!isFirst) return LATER_OPENERS.test(sentence);
  return (opensFile ? FILE_OPENERS : OPENERS).test(sentence);
}

const MAX_LINE = 200;
const MAX_LINES: Readonly<Record<string, number>> = { "README.md": 120, "ARCHITECTURE.md": 150 };

/** The two documents that everybody reads have a limit of lines, and of columns. */
export function checkLength(path: string, text: string): Finding[] {
  const most = MAX_LINES[path];
  if (most === undefined) return [];
  const lines = text.trimEnd().split("\n");
  const tooMany: Finding[] =
    lines.length > most
      ? [{ path, line: most, rule: "length", excerpt: `${lines.length} lines`, advice: `${most} at most` }]
      : [];
  const tooLong = lines.flatMap((line, index) =>
    line.length > MAX_LINE
      ? [
          {
            path,
            line: index + 1,
            rule: "length",
            excerpt: excerptOf(line, 0, line.length),
            advice: `${line.length} characters: ${MAX_LINE} at most`,
          },
        ]
      : [],
  );
  return [...tooMany, ...tooLong];
}

const ADVERBS = /^(?:already|also|always|eventually|immediately|never|no longer|only|silently|still) /;
const MODALS = /^(?:isn't|doesn't|hasn't|can|can't|cannot|may|must) /;
/** Words in -s with which a title begins that tells of things and not of what its unit does. */
const PLURALS =
  /^(?:agents|beats|bodies|buckets|commands|connections|deliveries|endpoints|events|examples|fields|figures|files|hosts|ids|its|keys|less|lines|messages|metrics|news|numbers|others|pools|processes|profiles|rooms|rows|servers|services|sessions|settings|slots|stages|subjects|tasks|this|times|tokens|tools|users|values|webhooks|words)\b/;
/** After these the word before was a plural, and no verb. */
const PLURAL_VERBS = /^\S+ (?:are|can|come|do|get|go|have|keep|may|must|need|stay|were)\b/;

/** A title that comes whole from a table of cases. */
const PLACEHOLDER = /^(?:%s|\$\w+)$/;

function startsWithVerb(title: string): boolean {
  if (PLACEHOLDER.test(title)) return true;
  const rest = title.replace(ADVERBS, "");
  if (MODALS.test(rest)) return true;
  return (
    /^[a-z]+s\b/.test(rest) &&
    !PLURALS.test(rest) &&
    !(PLURAL_VERBS.test(rest) && !/^(?:is|has|does)\b/.test(rest))
  );
}

interface Sentence {
  readonly sentence: string;
  readonly index: number;
}

const SENTENCE_END = /(?<!\b(?:e\.g|i\.e|vs|cf|etc|approx|No|St))[.!?]["')\]*_]*\s+(?=["'(*_`[]*[A-Z`0-9])/g;

function sentencesOf(text: string): Sentence[] {
  const sentences: Sentence[] = [];
  let from = 0;
  for (const { 0: end, index } of [...text.matchAll(SENTENCE_END)]) {
    sentences.push({ sentence: text.slice(from, index + end.length).trim(), index: from });
    from = index + end.length;
  }
  return [...sentences, { sentence: text.slice(from).trim(), index: from }];
}

const EXCERPT = 90;

/** The match with some of the text around; the beginning of a match that is longer. */
function excerptOf(text: string, index: number, length: number): string {
  const from = length >= EXCERPT ? index : Math.max(0, index - Math.floor((EXCERPT - length) / 2));
  const excerpt = text.slice(from, from + EXCERPT).trim();
  return `${from > 0 ? "…" : ""}${excerpt}${from + EXCERPT < text.length ? "…" : ""}`;
}
