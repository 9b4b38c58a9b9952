// Asks before something that cannot be taken back. The browser's own dialog keeps the focus and knows Escape.
import { useLayoutEffect, useRef } from "react";

interface Props {
  question: string;
  detail: string;
  yes: string;
  no?: string;
  answer: (sure: boolean) => void;
}

export function Confirm({ question, detail, yes, no = "No, keep it", answer }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  // Closed before it leaves the page, so that the focus goes back to where it was.
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="question" onCancel={() => answer(false)}>
      <h2 id="question">{question}</h2>
      <p>{detail}</p>
      <div className="buttons">
        <button type="button" onClick={() => answer(false)}>
          {no}
        </button>
        <button type="button" className="danger" onClick={() => answer(true)}>
          {yes}
        </button>
      </div>
    </dialog>
  );
}
