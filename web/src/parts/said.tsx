// A sentence of the server, with its times in the reader's zone; what it said itself is in their titles.
import { pieces_of } from "../said";

export function Said({ words }: { words: string }) {
  return pieces_of(words, Date.now()).map((piece, i) =>
    typeof piece === "string" ? piece : (
      <time key={i} dateTime={piece.at.toISOString()} title={piece.at.toISOString().replace(/\.000Z$/, "Z")}>
        {piece.words}
      </time>
    ),
  );
}
