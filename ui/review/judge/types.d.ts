// What the judging screen's modules speak of. Only the type checker reads this.

export type Side = "a" | "b";
export type Mark = "flagged" | "unblinded";
export type ViewName = "scroll" | "differences" | "markdown";
export type View = Partial<Record<ViewName, boolean>>;
export type Who = { review: string; reviewer: string; adjudicates?: boolean };
export type SideRemarks = { stars: number | null; tags: string[] };
export type Rubric = { name: string; text: string };

/** A pair as the server tells of it; see pair_object in api.py. */
export interface Pair {
  id: number;
  response_mode: "pairs" | "pass" | "stars";
  prompt: string;
  expected: string;
  a: string;
  b: string;
  /** the model that a response names, or "" */
  named: Record<Side, string>;
  /** a response's Markdown as markup, or "" */
  rendered: Record<Side, string>;
}

/** What is said of the pair beside the verdict. */
export interface Remarks {
  a: SideRemarks;
  b: SideRemarks;
  comment: string;
  correction: string;
  flagged: boolean;
  unblinded: boolean;
}
export type Rating = Remarks & { verdict: string };

/** A line of the history. */
export interface Listed {
  pair: number;
  prompt: string;
  verdict: string;
  stars: number | null;
  flagged: boolean;
  unblinded: boolean;
  comment: boolean;
}

export interface People {
  people: { name: string; judged: number }[];
  pairs: number;
  ratings: number;
  response_mode: string;
}

export interface State {
  who: Who | null;
  /** fetched ahead, so that moving on is instant */
  queue: Pair[];
  /** the pair that is judged; null while the next is fetched */
  current: Pair | null;
  /** whether it was judged before, so that a verdict replaces one */
  reopened: boolean;
  /** the pair being skipped */
  passing: { pair: Pair; reopened: boolean } | null;
  /** whether something is on its way; a second press is not heard */
  busy: boolean;
  skipped: number[];
  done: number;
  total: number;
  /** whether all that is left is on other people's screens */
  waiting: boolean;
  /** counts what was put on the screen */
  showing: number;
  /** whether that was another pair than the one before */
  moved: boolean;
  /** the responses that were on the screen, at least their first lines */
  seen: Side[];
  remarks: Remarks;
  view: View;
  expectedOpen: boolean;
  detailsOpen: boolean;
  rubric: Rubric;
  offered: { tags: string[]; stars: number };
  notice: { text: string; kind: "" | "error" };
  history: { listed: Listed[]; more: boolean };
  people: People | null;
  /** that the latest pairs took */
  seconds: number[];
  /** in milliseconds */
  shownAt: number;
}

export type Event =
  | { type: "opened"; who: Who | null }
  | {
      type: "fetched";
      who: Who | null;
      pairs: Pair[];
      done: number;
      total: number;
      rubric: Rubric;
      tags: string[];
      stars: number;
    }
  | { type: "advanced"; now: number }
  | { type: "cleared"; now: number }
  | { type: "began" }
  | { type: "ended" }
  | { type: "saved"; done: number; total: number }
  | { type: "undone"; pair: Pair; rating: Rating | null; done: number; now: number }
  | { type: "reopened"; pair: Pair; rating: Rating; now: number }
  | { type: "skipped" }
  | { type: "skipFailed" }
  | { type: "said"; text: string; kind?: "" | "error" }
  | { type: "seen"; side: Side }
  | { type: "starred"; side: Side; stars: number }
  | { type: "tagged"; side: Side; tag: string }
  | { type: "marked"; mark: Mark }
  | { type: "written"; field: "comment" | "correction"; text: string }
  | { type: "viewed"; name: ViewName }
  | { type: "expectedToggled" }
  | { type: "detailsToggled" }
  | { type: "historyOpened" }
  | { type: "historyListed"; verdicts: Listed[]; more: boolean }
  | { type: "peopleTold"; who: Who | null; people: People };
